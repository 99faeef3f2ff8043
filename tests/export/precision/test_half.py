"""FP16 stands in the graph itself: what is half is half by type, and what is kept is FP32 by type."""

import numpy as np
import onnx
import pytest

from mde_export.graph.canonical import from_bytes, stripped, to_bytes
from mde_export.graph.graft import graft
from mde_export.judge.execute import Executor
from mde_export.precision.half import half_from_float
from mde_export.precision.islands import kept_by_rule
from mde_runtime.engines.build import build_engine

FLOAT, HALF = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16


def graph_of(body: str, constants: str = ""):
    """A graph of named nodes from text: (float[1,2,4,4] x) => (float[1,2,8,8] or whatever y)."""
    return stripped(
        from_bytes(
            onnx.parser.parse_model(f"""<ir_version: 8, opset_import: ["" : 18]>
        net (float[1,2,4,4] x) => (float[N,C,H,W] y) {constants} {body}""").SerializeToString()
        )
    )


TWO_LAYERS = "{ [first] a = Mul (x, w) [second] b = Add (a, w) [third] y = Relu (b) }"
WEIGHT = "<float w = {0.1}>"


def types_of(model) -> dict[str, int]:
    proto = onnx.ModelProto.FromString(to_bytes(model))
    weights = {weight.name for weight in proto.graph.initializer}
    values = [value for value in [*proto.graph.value_info, *proto.graph.output] if value.name not in weights]
    return {value.name: value.type.tensor_type.elem_type for value in values}


def casts_of(model) -> list[tuple[str, int]]:
    nodes = onnx.ModelProto.FromString(to_bytes(model)).graph.node
    return [(node.input[0], node.attribute[0].i) for node in nodes if node.op_type == "Cast"]


def test_every_tensor_inside_is_half_and_the_ends_keep_their_type():
    types = types_of(half_from_float(graph_of(TWO_LAYERS, WEIGHT), kept=()))
    assert types == {"x/half": HALF, "a": HALF, "b": HALF, "y/half": HALF, "y": FLOAT}


def test_a_kept_node_computes_in_float_between_two_casts():
    types = types_of(half_from_float(graph_of(TWO_LAYERS, WEIGHT), kept=("second",)))
    assert types["a"] == HALF
    assert types["b"] == FLOAT
    assert types["y/half"] == HALF


def test_the_readers_of_a_tensor_share_one_cast():
    body = "{ [first] a = Mul (x, x) [second] b = Add (x, a) [third] y = Sub (a, b) }"
    casts = casts_of(half_from_float(graph_of(body), kept=("second", "third")))
    assert casts == [("x", HALF), ("a", FLOAT)]


def test_weights_are_rounded_in_the_file_and_no_float_copy_stays_behind():
    model = half_from_float(graph_of(TWO_LAYERS, WEIGHT), kept=())
    (weight,) = onnx.ModelProto.FromString(to_bytes(model)).graph.initializer
    assert onnx.numpy_helper.to_array(weight).dtype == np.float16
    assert float(onnx.numpy_helper.to_array(weight)) == float(np.float16(0.1))


def test_a_weight_read_in_both_precisions_is_there_in_both():
    model = half_from_float(graph_of(TWO_LAYERS, WEIGHT), kept=("second",))
    weights = onnx.ModelProto.FromString(to_bytes(model)).graph.initializer
    assert sorted(weight.data_type for weight in weights) == [FLOAT, HALF]


def test_the_scales_of_a_resize_stay_float_because_they_are_sizes():
    body = '{ [up] y = Resize <mode = "linear"> (x, , scales) }'
    model = half_from_float(graph_of(body, "<float[4] scales = {1, 1, 1.5, 1.5}>"), kept=())
    (scales,) = onnx.ModelProto.FromString(to_bytes(model)).graph.initializer
    assert scales.data_type == FLOAT


def test_a_cast_to_float_becomes_a_cast_to_half():
    body = "{ [to_int] i = Cast <to = 7> (x) [back] f = Cast <to = 1> (i) [end] y = Mul (f, f) }"
    assert types_of(half_from_float(graph_of(body), kept=()))["f"] == HALF


def test_an_operator_that_onnx_has_for_float_only_is_kept_float():
    body = "{ [q] i = QuantizeLinear (x, s, z) [d] a = DequantizeLinear (i, s, z) [end] y = Relu (a) }"
    model = graph_of(body, "<float s = {0.1}, int8 z = {0}>")
    assert types_of(half_from_float(model, kept=()))["a"] == FLOAT


def test_stages_first_convolution_and_head_are_kept_by_rule(one_convolution, contract):
    _, network = one_convolution(np.ones((1, 3, 1, 1), np.float32), 0.0, 1, 8, 16)
    reasons = [island.reason.split(":")[0] for island in kept_by_rule(stripped(graft(network, contract())))]
    assert reasons == ["pre- and postprocessing", "first convolution"]  # which is the head, too, in this network


def test_a_weight_beyond_half_keeps_its_node_float():
    islands = kept_by_rule(graph_of(TWO_LAYERS, "<float w = {70000.0}>"))
    assert [(island.nodes, island.reason) for island in islands] == [
        (("first", "second"), "a constant is above FP16's largest number")
    ]


def test_tensorrt_rtx_takes_the_mixed_graph():
    pytest.importorskip("tensorrt_rtx")
    model = half_from_float(graph_of(TWO_LAYERS, WEIGHT), kept=("second",))
    assert build_engine(to_bytes(model), "tensorrt-rtx")


def test_half_changes_the_result_by_halfs_rounding_and_no_more(noise):
    model = graph_of(TWO_LAYERS, WEIGHT)
    x = noise.uniform(0, 1, (1, 2, 4, 4)).astype(np.float32)
    exact, half = (
        Executor(to_bytes(graph), literal=True).run({"x": x})["y"] for graph in (model, half_from_float(model, ()))
    )
    assert 0 < np.abs(exact - half).max() < 4 * 2**-11  # four roundings of numbers below 1


def test_what_the_body_of_an_if_reads_stays_float_as_the_body_does():
    body = """{ [first] a = Mul (x, w) [sum] s = ReduceSum <keepdims = 0> (a) [cast] c = Cast <to = 9> (s)
        [if] b = If (c) <then_branch = yes () => (float[1,2,4,4] t) { t = Relu (a) },
                         else_branch = no () => (float[1,2,4,4] e) { e = Neg (a) }>
        [last] y = Mul (b, w) }"""
    model = half_from_float(graph_of(body, WEIGHT), kept=())
    assert types_of(model)["a"] == FLOAT
    assert types_of(model)["y/half"] == HALF
    x = np.ones((1, 2, 4, 4), np.float32)
    assert Executor(to_bytes(model), literal=True).run({"x": x})["y"] == pytest.approx(0.01 * x, rel=1e-3)


@pytest.mark.parametrize(
    "node",
    ["RandomNormal <dtype = 1, shape = [1, 2, 4, 4]> ()", "RandomUniform <shape = [1, 2, 4, 4]> ()"],
)
def test_a_node_whose_attribute_names_float_stays_float(node):
    model = half_from_float(graph_of(f"{{ [chance] a = {node} [last] y = Add (x, a) }}"), kept=())
    assert types_of(model)["a"] == FLOAT
    assert ("a", HALF) in casts_of(model)
    Executor(to_bytes(model), literal=True).run({"x": np.ones((1, 2, 4, 4), np.float32)})


LOOPS = {
    "Loop": """{ [first] a = Mul (x, w)
        [loop] b = Loop (turns, yes, a) <body = twice (int64 i, bool go, float[1,2,4,4] v)
            => (bool on, float[1,2,4,4] u) { on = Identity (go) u = Add (v, a) }>
        [last] y = Mul (b, w) }""",
    "Scan": """{ [first] a = Mul (x, w) [start] z = Mul (a, none)
        [loop] b, all = Scan (z, steps) <num_scan_inputs = 1, body = add (float[1,2,4,4] v, float s)
            => (float[1,2,4,4] u, float t) { u = Add (v, a) t = Identity (s) }>
        [last] y = Mul (b, w) }""",
}


@pytest.mark.parametrize("body", LOOPS.values(), ids=LOOPS)
def test_what_the_body_of_a_loop_reads_stays_float_as_the_body_does(body):
    constants = "<float w = {0.1}, float none = {0}, int64 turns = {3}, bool yes = {1}, float[3] steps = {1, 1, 1}>"
    model = half_from_float(graph_of(body, constants), kept=())
    assert types_of(model)["a"] == FLOAT
    assert types_of(model)["y/half"] == HALF
    x = np.ones((1, 2, 4, 4), np.float32)
    expected = 0.04 if "Loop" in body else 0.03  # the loop begins with what the scan begins without
    assert Executor(to_bytes(model), literal=True).run({"x": x})["y"] == pytest.approx(expected * x, rel=2e-3)


def test_a_matrix_that_is_made_as_float_stays_float():
    body = "{ [square] q = ReduceSum <keepdims = 0> (x, axes) [eye] e = EyeLike <dtype = 1> (q) [last] y = Add (x, e) }"
    model = half_from_float(graph_of(body, "<int64[2] axes = {0, 1}>"), kept=())
    assert types_of(model)["e"] == FLOAT
    x = np.zeros((1, 2, 4, 4), np.float32)
    np.testing.assert_array_equal(Executor(to_bytes(model), literal=True).run({"x": x})["y"][0, 0], np.eye(4))


def test_an_operator_that_adds_float_numbers_inside_stays_float():
    body = "{ [norm] a = MeanVarianceNormalization <axes = [2, 3]> (x) [last] y = Add (a, a) }"
    model = half_from_float(graph_of(body), kept=())
    assert (types_of(model)["a"], types_of(model)["y/half"]) == (FLOAT, HALF)
