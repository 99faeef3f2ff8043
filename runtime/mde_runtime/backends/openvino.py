"""OpenVINO on the CPU, for latency or throughput, at the precision asked for, which it would else lower by itself."""

import functools
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mde_runtime import installation
from mde_runtime.backends import Arrays, Graph, Lane, Session
from mde_runtime.cache import distrust_blob, get_blob, put_blob
from mde_runtime.errors import BadInputError, MachineError, UsageError
from mde_runtime.machine import this_machine
from mde_runtime.onnx_graph.unsigned import with_unsigned_activations
from mde_runtime.precision import Precision
from mde_runtime.revision import REVISION

try:
    import openvino as ov  # heavy, and fine here: this file loads only when it is chosen
except ImportError as error:
    raise MachineError(f"openvino cannot be loaded ({error}); {installation.adding('openvino')}") from error
except RuntimeError as error:  # of its telemetry, which looks for a home folder: accounts in containers may have none
    raise MachineError(f"openvino cannot be loaded ({error}); set HOME to a folder") from error

# OpenVINO's names of precisions, and ours.
NAMES = {"f32": "fp32", "bf16": "bf16", "f16": "fp16", "u8": "int8", "i8": "int8"}
LAYERS_OF_WORK = ("Convolution", "Deconvolution", "FullyConnected", "MatMul")


@dataclass(frozen=True)
class Variant:
    """What OpenVINO is asked for, in its own words."""

    precision: str
    hint: str


VARIANTS = {
    "f32": Variant("f32", "LATENCY"),
    "bf16": Variant("bf16", "LATENCY"),
    "f32-throughput": Variant("f32", "THROUGHPUT"),
}


def open(graph: Graph, variant: str, num_threads: int | None) -> Session:
    """Open an ONNX graph on the CPU, as `variant` says; see `mde_runtime.backends.open_session`.

    The compiled model is kept in the cache, since reading a graph takes far longer than loading what it became.
    """
    graph.read_ahead()
    core, how = _core(), VARIANTS[variant]
    if how.precision == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise MachineError(f"{this_machine().cpu} has no bfloat16 arithmetic; use --backend openvino")
    config: dict[str, Any] = {"PERFORMANCE_HINT": how.hint, "INFERENCE_PRECISION_HINT": how.precision}
    if num_threads is not None:
        config["INFERENCE_NUM_THREADS"] = num_threads
    kind = ThroughputSession if how.hint == "THROUGHPUT" else OpenVinoSession
    try:
        return kind(*_compiled(core, graph, config), how)
    except RuntimeError as error:
        raise BadInputError(
            f"openvino {ov.__version__} rejects the graph: {_one_line(error)}; export it again"
        ) from error


@functools.cache
def _core() -> ov.Core:
    """One for the process, never freed.

    Each gives signals a stack of its own and takes it away when it is freed, so that of two that are freed in the order
    of their making a stack is left that is gone: the next Ctrl-C would end the process by a segmentation fault.
    """
    return ov.Core()


class OpenVinoSession:
    """A compiled model and the requests to it, whose real precision was asked for after compiling."""

    def __init__(self, compiled: ov.CompiledModel, memory: object, variant: Variant):
        """memory: what the compiled model may still read from, where it was loaded; None: it was compiled now."""
        self._compiled, self._memory = compiled, memory
        self.is_from_cache = memory is not None
        self._request, self._outputs = compiled.create_infer_request(), compiled.outputs
        self._request_into = compiled.create_infer_request()  # keeps the caller's arrays as its outputs after a run
        self._names = [output.get_any_name() for output in self._outputs]
        if not compiled.inputs:
            raise BadInputError("the graph has no input; export the model again")
        batch = compiled.inputs[0].get_partial_shape()[0]
        self.max_batch = batch.get_length() if batch.is_static else None
        hint = NAMES[compiled.get_property("INFERENCE_PRECISION_HINT").type_name]
        if hint != NAMES[variant.precision]:  # a chip without it takes another one in silence
            raise MachineError(f"openvino compiled for {hint}, not {NAMES[variant.precision]}; use another backend")
        counts = _layers_by_precision(compiled) or Counter({hint: 1})
        ((most, _),) = counts.most_common(1)
        real = most if len(counts) == 1 else f"mostly {most}"
        self.arithmetic: Mapping[Precision, str] = {"fp32": real, "fp16": real, "int8": real}
        layers = ", ".join(f"{count} layers in {name}" for name, count in counts.most_common() if counts.total() > 1)
        self.executor = f"openvino {ov.__version__.split('-')[0]} CPU, at {hint}{', ' if layers else ''}{layers}"
        self.device = this_machine().cpu

    def run(self, feeds: Mapping[str, npt.NDArray[Any]], out: Mapping[str, npt.NDArray[Any]] | None = None) -> Arrays:
        """Every output of the graph, by name."""
        request = self._request if out is None else self._request_into
        arrays = {name: np.require(array, requirements=("C", "W")) for name, array in feeds.items()}
        try:
            for name, array in arrays.items():  # read in place; no later run sees them, as each brings its own
                request.set_tensor(name, ov.Tensor(array, shared_memory=True))
            if out is None:
                answer = request.infer()
                return {name: answer[output] for name, output in zip(self._names, self._outputs, strict=True)}
            for name in self._names:
                request.set_tensor(name, ov.Tensor(out[name], shared_memory=True))
            request.infer(share_outputs=True)
            return dict(out)
        except (RuntimeError, KeyError) as error:
            raise BadInputError(
                f"{self.executor} cannot run the graph: {_one_line(error)}; check the shape and type of the input"
            ) from error

    def close(self) -> None:
        """Free the memory: OpenVINO does with the last reference."""
        self._request = self._request_into = self._outputs = self._compiled = self._memory = None


class ThroughputSession(OpenVinoSession):
    """A model compiled for many frames per second: as many requests at once as OpenVINO finds right for the CPU."""

    def __init__(self, compiled: ov.CompiledModel, memory: object, variant: Variant):
        super().__init__(compiled, memory, variant)
        self._lanes: list[RequestLane] = []
        self._num_lanes: int = compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
        self.executor += f", {self._num_lanes} frames at once"

    def lanes(self) -> Sequence[Lane]:
        """The requests."""
        if not self._lanes:
            self._lanes = [RequestLane(self._compiled, self._names) for _ in range(self._num_lanes)]
        return self._lanes

    def close(self) -> None:
        """Free the memory, once no request uses it any more."""
        for lane in self._lanes:
            lane.drop()
        self._lanes = []
        super().close()


class RequestLane:
    """A request with inputs of its own.

    The tensors that OpenVINO would give it are no safe place to write to: with an open batch they can be the memory
    that another request of the model was given to read from, which is a caller's frame.
    """

    def __init__(self, compiled: ov.CompiledModel, names: Sequence[str]):
        self._request, self._names = compiled.create_infer_request(), names
        self._inputs: Arrays = {}
        self._is_started = False

    def start(self, feeds: Mapping[str, npt.NDArray[Any]]) -> None:
        """Copy the inputs, and begin."""
        if self._is_started:
            raise UsageError("a stream is running on this estimator; end it first, or open another estimator")
        try:
            for name, array in feeds.items():
                np.copyto(self._input_like(name, array), array)
            self._request.start_async()
        except RuntimeError as error:
            raise BadInputError(
                f"openvino {ov.__version__} cannot run the graph: {_one_line(error)}; check the shape and type of "
                "the input"
            ) from error
        self._is_started = True

    def finish(self) -> Arrays:
        """Wait, and copy the outputs."""
        self.drop()
        return {name: self._request.get_tensor(name).data.copy() for name in self._names}

    def drop(self) -> None:
        """Wait for what was started, if anything was."""
        self._is_started = False
        self._request.wait()

    def _input_like(self, name: str, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The memory of an input, made when a shape first comes: an export has one, an open batch may have several."""
        known = self._inputs.get(name)
        if known is None or known.shape != array.shape or known.dtype != array.dtype:
            known = np.empty(array.shape, array.dtype)
            self._request.set_tensor(name, ov.Tensor(known, shared_memory=True))
            self._inputs[name] = known
        return known


def _compiled(core: ov.Core, graph: Graph, config: dict[str, Any]) -> tuple[ov.CompiledModel, object]:
    """The compiled model, and the memory that it may read from as long as it lives; None where it was compiled now."""
    machine = this_machine()
    key = {
        "graph": f"{graph.sha256}, rewritten as of {REVISION}",
        "version": ov.__version__,
        "device": machine.cpu,
        "instruction set": " ".join(machine.instruction_set),
        **{name: str(value) for name, value in config.items()},
    }
    known = get_blob("openvino", key)
    if known is not None:
        blob = ov.Tensor(known, shared_memory=True)
        try:
            return core.import_model(blob, "CPU", config), (known, blob)
        except RuntimeError as error:  # of another build of OpenVINO under the same version
            distrust_blob("openvino", key, f"openvino cannot import it ({_one_line(error)[:100]})")
    compiled = core.compile_model(
        core.read_model(io.BytesIO(with_unsigned_activations(graph.content()))), "CPU", config
    )
    exported = compiled.export_model()
    put_blob("openvino", key, exported if isinstance(exported, bytes) else exported.getvalue())
    return compiled, None


def _layers_by_precision(compiled: ov.CompiledModel) -> "Counter[str]":
    """How many of the layers that do the work were compiled for each precision; a hint may be passed over."""
    counts: Counter[str] = Counter()
    for layer in compiled.get_runtime_model().get_ordered_ops():
        told = layer.get_rt_info()
        if "layerType" in told and told["layerType"].astype(str) in LAYERS_OF_WORK:
            precision = told["runtimePrecision"].astype(str)
            counts[NAMES.get(precision, precision)] += 1
    return counts


def _one_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines()]
    return " ".join(line for line in lines if line and not line.startswith("Exception from"))[:300]
