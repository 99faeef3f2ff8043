"""INT8 is explicit in the graph: symmetric, per output channel, one pair a tensor, and judged as it stands."""

from collections import Counter

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from mde_export.graph.canonical import from_bytes, stripped, to_bytes
from mde_export.graph.graft import graft
from mde_export.judge.execute import Executor
from mde_export.precision.clipping import Histogram, by_entropy, by_max, histograms
from mde_export.precision.int8 import activations_of, quantized
from mde_export.precision.islands import unquantizable
from mde_runtime.engines.build import build_engine

BODY = """
    [first] a = Conv (x, w1)
    r = Relu (a)
    [second] b = Conv (r, w2)
    s = Add (b, r)
    [up] y = ConvTranspose <strides = [2,2]> (s, w3)
"""


@pytest.fixture
def model(noise):
    network = onnx.parser.parse_model(f"""<ir_version: 8, opset_import: ["" : 18]>
        net (float[1,3,4,4] x) => (float[1,2,8,8] y) {{ {BODY} }}""")
    weights = {"w1": (5, 3, 1, 1), "w2": (5, 5, 1, 1), "w3": (5, 2, 2, 2)}
    network.graph.initializer.extend(
        onnx.numpy_helper.from_array(noise.normal(size=shape).astype(np.float32), name)
        for name, shape in weights.items()
    )
    return stripped(from_bytes(network.SerializeToString()))


@pytest.fixture
def graph(model) -> onnx.ModelProto:
    """Quantised but for the first layer."""
    return onnx.ModelProto.FromString(to_bytes(quantized(model, {"r": 4.0, "s": 8.0}, kept=("first",))))


def initializers(graph: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.graph.initializer}


def test_every_zero_point_is_zero_and_weights_are_stored_as_int8(graph):
    arrays = initializers(graph)
    assert all(not array.any() for name, array in arrays.items() if name.endswith("/zero"))
    assert arrays["second/w2/int8"].dtype == np.int8
    assert "w2" not in arrays
    assert arrays["w1"].dtype == np.float32  # the kept layer's


def test_weights_have_a_scale_for_each_output_channel_of_both_kinds_of_convolution(graph):
    arrays = initializers(graph)
    axes = {
        node.name: node.attribute[0].i
        for node in graph.graph.node
        if node.op_type == "DequantizeLinear" and node.attribute
    }
    assert axes == {"second/w2/dequantize": 0, "up/w3/dequantize": 1}
    assert arrays["second/w2/scale"].shape == (5,)
    assert arrays["up/w3/scale"].shape == (2,)


def test_a_tensor_has_one_pair_that_all_its_readers_share_and_none_stands_before_an_activation(graph):
    readers = Counter(name for node in graph.graph.node for name in node.input)
    assert Counter(node.op_type for node in graph.graph.node)["QuantizeLinear"] == 2
    assert readers["r/dequantized"] == 2  # the layer, and the addition beside it
    assert next(node for node in graph.graph.node if node.op_type == "Relu").input[0] == "a"


def test_the_literal_graph_computes_with_the_rounded_numbers(graph, noise):
    arrays = initializers(graph)
    x = noise.uniform(0, 1, (1, 3, 4, 4)).astype(np.float32)
    r = np.maximum(np.einsum("oi,nihw->nohw", arrays["w1"][:, :, 0, 0], x), 0)
    scale = np.float32(4.0 / 127)
    r8 = np.clip(np.rint(r / scale), -128, 127) * scale
    w2 = arrays["second/w2/int8"].astype(np.float32) * arrays["second/w2/scale"][:, None, None, None]
    b = np.einsum("oi,nihw->nohw", w2[:, :, 0, 0], r8)
    graph.graph.output.append(onnx.helper.make_tensor_value_info("b", onnx.TensorProto.FLOAT, None))
    answer = Executor(graph.SerializeToString(), literal=True).run({"x": x})
    np.testing.assert_allclose(answer["b"], b, atol=1e-5)  # float32 rounding of sums of five


def test_tensorrt_rtx_takes_the_quantised_graph(graph):
    pytest.importorskip("tensorrt_rtx")
    assert build_engine(graph.SerializeToString(), "tensorrt-rtx")


def test_a_grouped_convolution_is_left_alone(model):
    node = next(node for node in model.graph if node.name == "second")
    assert unquantizable(model) == ()
    node.attributes["group"] = ir.AttrInt64("group", 5)
    assert [island.nodes for island in unquantizable(model)] == [("second",)]


def test_only_what_quantised_layers_read_is_calibrated(model):
    assert activations_of(model, kept=("first",)) == ["r", "s"]
    assert activations_of(model, kept=("first", "second", "up")) == []


def test_entropy_clips_a_lone_outlier_and_max_does_not():
    counts = (1e6 * np.exp(-((np.arange(2048) / 60) ** 2) / 2)).astype(np.int64)  # half a bell of 60 bins
    counts[-1] = 1
    seen = Histogram(16.0, counts)
    assert by_max(seen) == 16.0
    assert 2 * 60 / 2048 * 16 < by_entropy(seen) < 5 * 60 / 2048 * 16  # between 2 and 5 sigma


def test_entropy_leaves_an_even_distribution_as_it_is():
    assert by_entropy(Histogram(16.0, np.full(2048, 1000))) == pytest.approx(16.0, rel=0.05)


def test_two_layers_that_read_the_networks_input_are_quantised_from_what_the_stages_give(contract, noise):
    network = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 17]>
        net (float[1,3,8,16] x) => (float[1,1,8,16] y) {
            [left] a = Conv (x, wa)
            [right] b = Conv (x, wb)
            both = Add (a, b)
            r = Relu (both)
            [middle] m = Conv (r, w3)
            [end] y = Conv (m, w4)
        }""")
    weights = {"wa": (3, 3), "wb": (3, 3), "w3": (3, 3), "w4": (1, 3)}
    network.graph.initializer.extend(
        onnx.numpy_helper.from_array(noise.uniform(0.5, 2, (*shape, 1, 1)).astype(np.float32), name)
        for name, shape in weights.items()
    )
    model = stripped(graft(from_bytes(network.SerializeToString()), contract()))
    frames = np.full((2, 12, 20, 3), 51, np.uint8)  # 0.2 of the largest colour
    names = activations_of(model, kept=("left", "end"))
    seen = histograms(model, names, frames)
    assert [seen[name].largest for name in names] == pytest.approx([0.2, seen["r"].largest])
    graph = quantized(model, {name: seen[name].largest for name in names}, kept=("left", "end"))
    before_m, _ = Executor(to_bytes(model), literal=True).depth(frames)
    depth_m, _ = Executor(to_bytes(graph), literal=True).depth(frames)
    np.testing.assert_allclose(depth_m, before_m, rtol=0.02)  # a step of 1/127 or less at each of two layers
