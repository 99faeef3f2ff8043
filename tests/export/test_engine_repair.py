"""A builder that has no implementation of a node: the node goes back to FP32, and what came of it is judged again.

The builder is a stand-in of TensorRT that fails as NVIDIA's does, by its log: TensorRT-RTX, the one that builds without
a GPU, has implementations of every operator that ONNX lets be half.
"""

import contextlib
import enum
import sys
import types

import onnx
import pytest

from mde_export.engine.build import build_for
from mde_export.precision.islands import names_in, was_repaired
from mde_export.precision.lower import lowered_to_fp16
from mde_runtime.engines.build import RefusedError, regions_of


@contextlib.contextmanager
def silent(_name, _total=None):
    yield lambda: None


class Severity(enum.Enum):
    ERROR = 1


class Anything:
    """An object of the library whose settings nobody looks at."""

    num_inputs = 0

    def __getattr__(self, name):
        return lambda *_, **__: Anything()


class Builder:
    """Refuses operators in a type, one at a time, as the library does: it gives None and writes to its log."""

    refuses: "dict[str, tuple[int, ...]]"  # operator to the types, by ONNX's numbers

    def __init__(self, logger):
        self.logger = logger

    def create_network(self, _flags):
        return types.SimpleNamespace(num_inputs=0, content=b"")

    def create_builder_config(self):
        return Anything()

    def build_serialized_network(self, network, _config):
        graph = onnx.shape_inference.infer_shapes(onnx.load_from_string(network.content)).graph
        types_of = {value.name: value.type.tensor_type.elem_type for value in (*graph.value_info, *graph.output)}
        for node in graph.node:
            if types_of.get(node.output[0]) in self.refuses.get(node.op_type, ()):
                reason = f"Could not find any implementation for node {node.name}."
                self.logger.log(Severity.ERROR, f"Error Code 10: Internal Error ({reason})")
                return None
        return b"an engine"


class Parser:
    def __init__(self, network, _logger):
        self.network = network

    def parse(self, content):
        self.network.content = content
        return True


@pytest.fixture
def tensorrt(monkeypatch):
    """A function that puts TensorRT in place: `tensorrt(Tanh=(HALF,))` has no half Tanh."""

    def install(**refuses):
        monkeypatch.setattr(Builder, "refuses", refuses, raising=False)
        stand_in = types.SimpleNamespace(
            __version__="10.3.0",
            ILogger=type("ILogger", (), {}),
            IProgressMonitor=type("IProgressMonitor", (), {}),
            Builder=Builder,
            OnnxParser=Parser,
            NetworkDefinitionCreationFlag=types.SimpleNamespace(STRONGLY_TYPED=1),
            MemoryPoolType=Anything(),
            ProfilingVerbosity=Anything(),
            BuilderFlag=Anything(),
        )
        monkeypatch.setitem(sys.modules, "tensorrt", stand_in)

    return install


HALF, SINGLE = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT
BODY = "[bend] d = Tanh (b) [up] e = Relu (d) [bow] f = Tanh (e) [lift] c = Add (f, one)"


def built(world):
    model, evidence = world(BODY, one=1.0)
    before = lowered_to_fp16(model, evidence, silent)
    assert before.breaches == ()
    result = build_for("tensorrt", [before], model, evidence, (1, 1, 1), silent)
    assert result.engine is not None
    assert not result.engine.is_verified, "no GPU here"
    (after,) = result.trials
    return before, after


def test_what_the_builder_has_not_in_half_is_kept_in_float_judged_and_named(world, tensorrt):
    tensorrt(Tanh=(HALF,))
    before, after = built(world)
    assert names_in(filter(was_repaired, after.kept_fp32)) == {"bend", "bow"}
    assert "tensorrt 10.3.0 has no implementation" in after.kept_fp32[-1].reason
    assert after.breaches == ()
    assert after.graph != before.graph


def test_what_the_builder_takes_is_left_alone(world, tensorrt):
    tensorrt(Softmax=(HALF,))
    before, after = built(world)
    assert after is before


def test_a_node_that_is_refused_in_float_too_is_an_error_that_names_it(world, tensorrt):
    tensorrt(Tanh=(HALF, SINGLE))
    with pytest.raises(RefusedError, match=r"for node bend"):
        built(world)


@pytest.mark.parametrize(
    ("cause", "regions"),
    [
        ("Error Code 10: Internal Error (Could not find any implementation for node conv_1 + relu_1.)",
         (("conv_1", "conv_1"), ("relu_1", "relu_1"))),
        ("Could not find any implementation for node {ForeignNode[/a/Mul.../b/Add]} due to insufficient workspace.",
         (("/a/Mul", "/b/Add"),)),
        ("Could not find any implementation for node /deep/Conv. In optimizer.cpp:1",
         (("/deep/Conv", "/deep/Conv"),)),
        ("Error Code 4: API Usage Error", ()),
    ],
)  # fmt: skip
def test_the_nodes_are_read_from_the_builders_words(cause, regions):
    assert regions_of(cause) == regions
