import numpy as np
import onnx
import onnx.helper
import onnx.parser
import onnxruntime
import pytest

from mde_runtime.onnx_graph.unsigned import with_unsigned_activations

INT8, UINT8 = onnx.TensorProto.INT8, onnx.TensorProto.UINT8


def graph_of(before: str, *, weights: np.ndarray | None = None, zero: int = 0) -> bytes:
    """x -> `before` (gives `a`) -> Q/DQ -> 1x1 convolution with Q/DQ weights -> y."""
    model = onnx.parser.parse_model(f"""
        <ir_version: 10, opset_import: ["": 20]>
        quantised (float[1, 2, 8, 8] x) => (float[1, 3, H, W] y)
        {{
            {before}
            q = QuantizeLinear (a, scale, zero)
            d = DequantizeLinear (q, scale, zero)
            w = DequantizeLinear <axis = 0> (weights, weight_scale, weight_zero)
            y = Conv (d, w)
        }}""")
    chance = np.random.default_rng(0)
    channels = weights if weights is not None else chance.integers(-127, 128, (3, 2, 1, 1))
    for name, value in {
        "scale": np.float32(4 / 127),
        "zero": np.int8(zero),
        "weights": channels.astype(np.int8),
        "weight_scale": np.full(3, 0.01, np.float32),
        "weight_zero": np.zeros(3, np.int8),
        "twice": np.array([1, 1, 2, 2], np.float32),
    }.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(value), name))
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def zero_point_types(graph: bytes) -> dict[str, int]:
    """The type of the zero point of each quantiser and dequantiser, by its output."""
    model = onnx.load_from_string(graph)
    onnx.checker.check_model(model, full_check=True)
    types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    return {node.output[0]: types[node.input[2]] for node in model.graph.node if "uantizeLinear" in node.op_type}


def run(graph: bytes, x: np.ndarray) -> np.ndarray:
    """The graph's own words: onnxruntime without any optimisation."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


def test_a_graph_of_thousands_of_zero_points_is_read_as_fast_as_any():
    """At a look through all of them for each, this would take minutes."""
    model = onnx.load_from_string(graph_of("a = Neg (x)"))
    for index in range(20_000):
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.int8(0), f"zero{index}"))
        model.graph.node.append(
            onnx.helper.make_node("QuantizeLinear", ["a", "scale", f"zero{index}"], [f"levels{index}"])
        )
    graph = model.SerializeToString()
    assert with_unsigned_activations(graph) == graph


NEVER_NEGATIVE = {
    "after a Relu": "a = Relu (x)",
    "after a Sigmoid": "a = Sigmoid (x)",
    "through a pool": "r = Relu (x)\n a = MaxPool <kernel_shape = [2, 2]> (r)",
    "through a linear resize": 'r = Relu (x)\n a = Resize <mode = "linear"> (r, , twice)',
    "the sum of two": "r = Relu (x)\n s = Abs (x)\n a = Add (r, s)",
}
MAY_BE_NEGATIVE = {
    "the input": "a = Identity (x)",
    "through a cubic resize": 'r = Relu (x)\n a = Resize <mode = "cubic"> (r, , twice)',
    "the sum with what may be": "r = Relu (x)\n a = Add (r, x)",
}


@pytest.mark.parametrize("case", NEVER_NEGATIVE)
def test_what_is_never_negative_becomes_unsigned_and_weights_stay(case):
    found = zero_point_types(with_unsigned_activations(graph_of(NEVER_NEGATIVE[case])))
    assert found == {"q": UINT8, "d": UINT8, "w": INT8}


@pytest.mark.parametrize("case", MAY_BE_NEGATIVE)
def test_what_may_be_negative_is_left_alone(case):
    found = zero_point_types(with_unsigned_activations(graph_of(MAY_BE_NEGATIVE[case])))
    assert found == {"q": INT8, "d": INT8, "w": INT8}


def test_an_asymmetric_zero_point_is_left_alone():
    graph = graph_of("a = Relu (x)", zero=-128)
    assert with_unsigned_activations(graph) == graph


def test_the_graph_means_the_same_inside_its_range():
    graph = graph_of("a = Relu (x)")
    x = np.random.default_rng(1).uniform(-4, 4, (1, 2, 8, 8)).astype(np.float32)
    np.testing.assert_array_equal(run(with_unsigned_activations(graph), x), run(graph, x))


def test_beyond_the_range_it_no_longer_clips():
    graph = graph_of("a = Relu (x)", weights=np.full((3, 2, 1, 1), 100))
    x = np.full((1, 2, 8, 8), 6, np.float32)
    assert run(graph, x).max() == pytest.approx(8)  # two channels of 4, the end of int8's grid
    assert run(with_unsigned_activations(graph), x).max() == pytest.approx(12, abs=0.04)  # half a step a channel


def test_openvino_gives_the_depth_of_the_graphs_own_words():
    pytest.importorskip("openvino", reason="an extra")
    from mde_runtime.backends import open_session

    graph = graph_of("a = Relu (x)", weights=np.random.default_rng(2).integers(-60, 61, (3, 2, 1, 1)))
    x = np.random.default_rng(1).uniform(-4, 4, (1, 2, 8, 8)).astype(np.float32)
    found = open_session("openvino", graph).run({"x": x})["y"]
    np.testing.assert_allclose(found, run(graph, x), atol=1e-4)  # of values up to 5, in float32


@pytest.mark.parametrize(
    "graph", [b"", b"no graph", b"QuantizeLinear", b"\x3a\xff\xffQuantizeLinear", b"\xff" * 40 + b"QuantizeLinear"]
)
def test_what_is_no_graph_is_left_for_the_runtime_to_refuse(graph):
    assert with_unsigned_activations(graph) == graph


def test_a_graph_without_quantisers_is_the_very_same_object(tiny_graph):
    graph = tiny_graph()
    assert with_unsigned_activations(graph) is graph
