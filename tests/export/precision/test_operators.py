"""Every operator has a row that says how half computes it, and what is taken apart is rounded after every part."""

import numpy as np
import onnx
import pytest

from mde_export.graph.canonical import from_bytes, stripped, to_bytes
from mde_export.judge.execute import Executor
from mde_export.precision.emulate import emulated
from mde_export.precision.half import half_from_float
from mde_export.precision.islands import kept_by_rule, names_in
from mde_export.precision.operators import EXACT, FLOAT_BY_RULE, IN_PARTS, ONE_LAYER
from mde_export.precision.parts import PARTS

NEWEST_KNOWN = 26  # opset of onnx 1.23: an operator of a later one stays FP32 until it has a row


def admits_half(schema: onnx.defs.OpSchema) -> bool:
    allowed = {constraint.type_param_str: constraint.allowed_type_strs for constraint in schema.type_constraints}
    return any("tensor(float16)" in allowed.get(output.type_str, [output.type_str]) for output in schema.outputs)


def test_every_operator_that_onnx_lets_be_half_has_one_row():
    history = [schema for schema in onnx.defs.get_all_schemas_with_history() if schema.domain == ""]
    known_here = [schema for schema in history if schema.since_version <= NEWEST_KNOWN]
    newest = {schema.name: schema for schema in sorted(known_here, key=lambda schema: schema.since_version)}
    schemas = [schema for schema in newest.values() if not schema.deprecated]
    known = [*EXACT, *ONE_LAYER, *IN_PARTS, *FLOAT_BY_RULE]
    assert len(known) == len(set(known))
    assert {schema.name for schema in schemas if admits_half(schema)} - set(known) == set()
    assert set(known) <= {schema.name for schema in schemas}


def test_what_the_table_takes_apart_is_what_has_parts():
    assert set(PARTS) == IN_PARTS


def network(body: str, constants: str = "", opset: int = 20):
    """(float[4,6] x) to (float[A,B] y), from text."""
    model = onnx.parser.parse_model(f"""<ir_version: 8, opset_import: ["" : {opset}]>
        net (float[4,6] x) => (float[A,B] y) {constants} {{ {body} }}""")
    return stripped(from_bytes(model.SerializeToString()))


def exact_and_rounded(model, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    graphs = to_bytes(model), to_bytes(emulated(half_from_float(model, kept=())))
    exact, rounded = (Executor(graph, literal=True).run({"x": x})["y"] for graph in graphs)
    return exact, rounded


FEATURES = "<float[6] s = {1, 2, 0.5, 1, 1.5, 1}, float[6] b = {0, 1, 0, -1, 0, 2}>"
FACTOR = """<float[6,2] w = {1, 0.5, -1, 2, 0.25, 1, 1, -0.5, 0.5, 1, -2, 1}, float[2] b = {1, -1},
    float[2,6] t = {1, 0.5, -1, 2, 0.25, 1, 1, -0.5, 0.5, 1, -2, 1}>"""
OPERATORS = {
    "Gelu": ("y = Gelu (x)", ""),
    "Gelu by tanh": ('y = Gelu <approximate = "tanh"> (x)', ""),
    "Gemm": ("y = Gemm (x, w, b)", FACTOR),
    "Gemm scaled and transposed": ("y = Gemm <transB = 1, alpha = 0.3, beta = 0.6> (x, t, b)", FACTOR),
    "Gemm without a bias": ("y = Gemm (x, w)", FACTOR),
    "HardSwish": ("y = HardSwish (x)", ""),
    "LayerNormalization": ("y = LayerNormalization (x, s, b)", FEATURES),
    "LayerNormalization without a bias": ("y = LayerNormalization (x, s)", FEATURES),
    "LogSoftmax": ("y = LogSoftmax (x)", ""),
    "LpNormalization": ("y = LpNormalization <axis = 0> (x)", ""),
    "LpNormalization of the first norm": ("y = LpNormalization <p = 1> (x)", ""),
    "Mean": ("s = Sin (x) c = Cos (x) y = Mean (x, s, c)", ""),
    "Mish": ("y = Mish (x)", ""),
    "ReduceL1": ("y = ReduceL1 (x, a)", "<int64[1] a = {1}>"),
    "ReduceL2": ("y = ReduceL2 (x, a)", "<int64[1] a = {1}>"),
    "ReduceLogSum": ("p = Abs (x) y = ReduceLogSum (p, a)", "<int64[1] a = {1}>"),
    "ReduceLogSumExp": ("y = ReduceLogSumExp (x)", ""),
    "ReduceSumSquare": ("y = ReduceSumSquare (x, a)", "<int64[1] a = {0}>"),
    "Softmax": ("y = Softmax <axis = 0> (x)", ""),
    "Sum": ("s = Sin (x) c = Cos (x) y = Sum (x, s, c)", ""),
}


@pytest.mark.parametrize(("body", "constants"), OPERATORS.values(), ids=OPERATORS)
def test_the_parts_compute_the_operator_but_for_halfs_rounding(body, constants, noise):
    model = network(body, constants)
    exact, rounded = exact_and_rounded(model, noise.normal(0, 1.5, (4, 6)).astype(np.float32))
    assert exact.shape == rounded.shape
    # a handful of roundings of values up to 10 or so, each by 2^-11 of it at most
    assert 0 < np.abs(exact - rounded).max() <= 8 * 2**-11 * max(1.0, float(np.abs(exact).max()))


def test_every_operator_in_parts_is_tried_here():
    assert {name.split()[0] for name in OPERATORS} == IN_PARTS


@pytest.mark.parametrize("opset", [17, 18])
def test_the_axes_of_a_reduction_are_found_where_the_opset_has_them(opset, noise):
    axes = ("<axes = [1]> (x)", "") if opset == 17 else ("(x, a)", "<int64[1] a = {1}>")
    body = f"n = ReduceL2 {axes[0]} d = Div (x, n) y = Softmax (d)"
    exact, rounded = exact_and_rounded(network(body, axes[1], opset), noise.normal(0, 1, (4, 6)).astype(np.float32))
    np.testing.assert_allclose(rounded, exact, atol=8 * 2**-11)


def test_a_hard_swish_is_rounded_after_its_gate_and_after_its_product(noise):
    x = noise.normal(0, 2, (4, 6)).astype(np.float16)
    gate = np.clip(x.astype(np.float32) * np.float32(1 / 6) + np.float32(0.5), 0, 1).astype(np.float16)
    _, rounded = exact_and_rounded(network("y = HardSwish (x)"), x.astype(np.float32))
    np.testing.assert_array_equal(rounded, (x * gate).astype(np.float32))


def test_a_log_of_a_softmax_is_infinite_where_the_share_vanishes_in_half():
    x = np.zeros((4, 6), np.float32)
    x[:, 0] = 20  # e^-20 is 0 in half
    exact, rounded = exact_and_rounded(network("y = LogSoftmax (x)"), x)
    assert np.isfinite(exact).all()
    assert np.isneginf(rounded[:, 1:]).all()


def test_the_square_inside_a_norm_overflows_as_it_does_on_the_device():
    x = np.full((4, 6), 300, np.float32)
    _, rounded = exact_and_rounded(network("y = ReduceL2 (x)"), x)
    assert np.isposinf(rounded).all()


def test_a_layer_normalisation_of_large_values_does_not_overflow_as_its_squares_are_float(noise):
    x = noise.normal(0, 3000, (4, 6)).astype(np.float32)
    exact, rounded = exact_and_rounded(network("y = LayerNormalization (x, s, b)", FEATURES), x)
    np.testing.assert_allclose(rounded, exact, atol=0.02)


@pytest.mark.parametrize(
    "body",
    [
        "u = Unsqueeze (x, a) [odd] n = InstanceNormalization (u, one, one) y = Squeeze (n, a)",
        "[odd] y = CumSum (x, axis)",
        "[odd] y = Mod <fmod = 1> (x, one)",
        '[odd] q = Einsum <equation = "ij,ij,ij->ij"> (x, x, x) y = Relu (q)',
        '[odd] y = ScatterElements <reduction = "add"> (x, where, x)',
    ],
)
def test_what_the_emulation_cannot_follow_stays_float_by_rule(body):
    constants = (
        f"<int64[1] a = {{0}}, float[4] one = {{1, 1, 1, 1}}, int64 axis = {{1}}, int64[4,6] where = {{{ZEROS}}}>"
    )
    constants = constants.replace("float[4] one = {1, 1, 1, 1}", "float[1] one = {1}") if "Mod" in body else constants
    assert "odd" in names_in(kept_by_rule(network(body, constants)))


ZEROS = ", ".join(["0"] * 24)


def test_what_it_can_follow_does_not():
    body = '[even] q = Einsum <equation = "ij,kj->ik"> (x, x) [put] y = ScatterElements (q, where, q)'
    kept = names_in(kept_by_rule(network(body, "<int64[4,4] where = {0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0}>")))
    assert kept.isdisjoint({"even", "put"})
