"""Networks built to break in half: what breaks is found, kept in FP32 and named with its cost; nothing else is."""

import contextlib
from dataclasses import replace

import numpy as np
import pytest

from mde_export.graph.canonical import stripped
from mde_export.graph.graft import graft
from mde_export.judge.execute import Executor
from mde_export.precision.int8 import activations_of, signed_activations
from mde_export.precision.islands import kept_by_rule, names_in
from mde_export.precision.lower import Half, Int8, lowered_to_fp16, lowered_to_int8
from mde_export.precision.repair import layers_of
from mde_runtime.errors import VerdictError
from mde_runtime.onnx_graph.unsigned import with_unsigned_activations
from mde_runtime.parity import measure


@contextlib.contextmanager
def silent(_name, _total=None):
    yield lambda: None


def measured_islands(trial):
    """The islands that are there because of this network's values."""
    return [island for island in trial.kept_fp32 if island.reason.startswith(("measured", "reaches", "a constant"))]


def test_a_network_that_half_can_hold_keeps_nothing_but_the_rules(world):
    trial = lowered_to_fp16(*world("c = Relu (b)"), silent)
    assert trial.breaches == ()
    assert measured_islands(trial) == []


def test_a_value_past_half_that_comes_back_is_kept_with_its_readers(world):
    body = "[up] large = Mul (b, k) [peak] huge = Mul (large, k) [down] less = Div (huge, k) [back] c = Div (less, k)"
    model, evidence = world(body, k=500.0)
    assert Half(model)(kept_by_rule(model), evidence).breaches
    trial = lowered_to_fp16(model, evidence, silent)
    assert trial.breaches == ()
    assert [island.nodes for island in measured_islands(trial)] == [("peak", "down")]


def test_what_costs_accuracy_without_overflow_is_searched_and_its_cost_is_stated(world):
    trial = lowered_to_fp16(
        *world("[far] large = Add (b, offset) [near] c = Sub (large, offset)", offset=500.0), silent
    )
    (island,) = measured_islands(trial)
    assert trial.breaches == ()
    assert set(island.nodes) == {"far", "near"}
    assert island.rmse_worst_without_m > 0.008 >= trial.parity.rmse_worst_m  # 80 % of 1 cm, the limit over 20 m


def test_a_weight_whose_error_the_rounding_of_a_value_happens_to_undo_is_found(world):
    """2049 becomes 2048 in half, and 2048 + 3 becomes 2052: right by chance, and a metre off where sums stay float."""
    body = "[sum] s = Add (one, other) [rest] r = Sub (s, both) [back] c = Add (b, r)"
    model, evidence = world(body, one=2049.0, other=3.0, both=2052.0)
    by_chance = Half(model)(kept_by_rule(model), evidence)
    assert by_chance.parity.rmse_worst_m < 0.008
    assert by_chance.breaches
    assert all("nothing but the weights rounded" in line for line in by_chance.breaches)
    trial = lowered_to_fp16(model, evidence, silent)
    assert trial.breaches == ()
    assert "sum" in {name for island in measured_islands(trial) for name in island.nodes}


def test_where_r2_binds_before_metres_the_search_goes_by_it_and_keeps_no_more_than_it_needs(world):
    rounded = "[far{0}] f{0} = Add ({1}, k) [near{0}] n{0} = Sub (f{0}, k) [conv{0}] m{0} = Conv (n{0}, w4)"
    quiet = "[relu{0}] n{0} = Relu ({1}) [conv{0}] m{0} = Conv (n{0}, w4)"
    body = " ".join(
        (rounded if index % 2 else quiet).format(index, f"m{index - 1}" if index else "b") for index in range(8)
    )
    # Depth varies by about 2 m, T is 20 cm: rounding that stays below it can still be a tenth of all that varies.
    model, evidence = world(f"{body} c = Relu (m7)", far_m=400.0, k=70.0)
    before = Half(model)(kept_by_rule(model), evidence)
    assert [breach.split(" is ")[0] for breach in before.breaches] == ["R² within frames"]
    trial = lowered_to_fp16(model, evidence, silent)
    assert trial.parity.r2 >= 0.9992  # 80 % of the way from perfect to 0.999
    kept = {name for island in measured_islands(trial) for name in island.nodes}
    assert kept <= {f"{word}{index}" for word in ("far", "near", "conv") for index in range(1, 8, 2)}


def test_layers_hold_every_node_that_is_not_kept_once_and_in_order(world):
    model, *_ = world("c = Relu (b)")
    kept = names_in(kept_by_rule(model))
    names = [name for layer in layers_of(model, kept) for name in layer]
    assert names == [node.name for node in model.graph if node.name not in kept]


NORMALISED = """
    [mean] mean = ReduceMean <axes = [1]> (l) [centre] d = Sub (l, mean) [square] dd = Mul (d, d)
    [variance] v = ReduceMean <axes = [1]> (dd) [guard] w = Add (v, eps) [root] r = Sqrt (w) [divide] n = Div (d, r)
    [lift] u = Add (n, lift) [calm] c = Conv (u, w4)
"""
BREAKING = {
    "a normalisation over large values": (
        "[scale] l = Mul (b, k)" + NORMALISED,
        {"k": 1500.0, "eps": 1.0, "lift": 0.8},
    ),
    "a normalisation of a tiny variance": (
        "[scale] l = Mul (b, k)" + NORMALISED,
        {"k": 1e-4, "eps": 1e-12, "lift": 0.8},
    ),
    "a softmax of large logits": (
        "[spread] s = Mul (b, k) [logits] l = Add (s, far) [softmax] p = Softmax <axis = 1> (l) [mix] c = Mul (p, b)",
        {"k": 20.0, "far": 2000.0},
    ),
    "a reciprocal": (
        "[add] a1 = Add (b, tenth) [shrink] q = Mul (a1, k) [invert] r = Reciprocal (q) [back] c = Mul (r, k2)",
        {"tenth": 0.1, "k": 1e-5, "k2": 2e-6},
    ),
}


@pytest.mark.parametrize(("body", "numbers"), BREAKING.values(), ids=BREAKING.keys())
def test_what_breaks_in_half_is_repaired_by_keeping_its_own_nodes(world, body, numbers):
    model, evidence = world(body, **numbers)
    rules = tuple(island for island in kept_by_rule(model) if not island.reason.startswith("a constant"))
    assert Half(model)(rules, evidence).breaches
    trial = lowered_to_fp16(model, evidence, silent)
    assert trial.breaches == ()
    kept = {name for island in measured_islands(trial) for name in island.nodes}
    assert kept
    assert kept.isdisjoint({"first", "third"})


def test_int8_of_an_easy_network_is_within_its_limit_and_says_how_it_was_calibrated(world):
    trial = lowered_to_int8(*world("c = Relu (b)"), silent)
    assert trial.breaches == ()
    assert trial.executor.endswith("on all frames")
    assert measured_islands(trial) == []


def test_an_outlier_channel_that_ruins_int8_is_kept_in_float(world):
    body = "[blow_up] d = Mul (b, outlier) [layer] e = Conv (d, w4) [undo] c = Div (e, outlier)"
    trial = lowered_to_int8(*world(body, outlier=[1.0, 1.0, 2000.0]), silent)
    assert trial.breaches == ()
    assert [island.nodes for island in measured_islands(trial)] == [("layer",)]
    assert measured_islands(trial)[0].rmse_worst_without_m > 0.32  # 80 % of 40 cm, the limit over 20 m


ACTIVATED = "[activation] r = {} (b) [layer] d = Conv (r, w4) [last] c = Relu (d)"


def test_the_figures_of_the_symmetric_form_and_of_the_one_that_cpus_run_are_those_of_their_graphs(world):
    model, evidence = world(ACTIVATED.format("Relu"))
    islands = kept_by_rule(model)
    clipped = dict.fromkeys(activations_of(model, names_in(islands)), 1.2) | {"r": 0.7}  # by 127 steps, not by 255
    trial = Int8(model, clipped, "hand")(islands, evidence)
    forms = trial.graph, with_unsigned_activations(trial.graph)
    assert forms[0] != forms[1]
    for graph, stated in zip(forms, (trial.parity, trial.unsigned), strict=True):
        depth_m, num_nonfinite = Executor(graph, literal=True).depth(evidence.pictures.frames)
        assert stated == measure(depth_m, evidence.depth_m, num_nonfinite, evidence.contract)
    assert trial.unsigned.rmse_worst_m < trial.parity.rmse_worst_m == trial.error_m


def test_where_no_activation_becomes_unsigned_both_forms_are_one(world):
    trial = lowered_to_int8(*world("[layer] d = Conv (b, w4) [last] c = Neg (d)", gain=-12.0), silent)
    assert trial.unsigned == trial.parity


def test_a_form_that_misses_its_limits_fails_the_trial(world):
    trial = lowered_to_int8(*world(ACTIVATED.format("Relu")), silent)
    bad = replace(trial, breaches=("RMSE is too large",), beyond_aim=("RMSE is large",), unsigned=None)
    judged = trial.judged_with(bad, "on CPUs")
    assert (judged.breaches, judged.beyond_aim) == (("on CPUs: RMSE is too large",), ("on CPUs: RMSE is large",))


@pytest.mark.parametrize(
    ("operator", "signed"), [("Relu", []), ("Elu", ["Elu activation"]), ("HardSwish", ["HardSwish activation"])]
)
def test_activations_that_can_be_negative_are_named(world, operator, signed):
    model, evidence = world(ACTIVATED.format(operator))
    trial = lowered_to_int8(model, evidence, silent)
    assert [name for name in signed_activations(trial.graph) if "activation" in name] == signed


def test_a_layer_that_reads_a_constant_stays_float(world):
    body = "[coordinates] q = Conv (grid, w4) [plus] s = Add (b, q) [layer] c = Conv (s, w4)"
    trial = lowered_to_int8(*world(body, grid=[0.1, 0.2, 0.3]), silent)
    assert trial.breaches == ()
    assert "coordinates" in names_in(trial.kept_fp32)
    assert "layer" not in names_in(trial.kept_fp32)


def test_where_nothing_is_left_in_half_there_is_no_fp16_graph_and_each_reason_is_given(
    one_convolution, contract, world
):
    _, network = one_convolution(np.ones((1, 3, 1, 1), np.float32), 0.0, 1, 8, 16)
    _, evidence = world("c = Relu (b)")
    model = stripped(graft(network, contract()))
    with pytest.raises(VerdictError, match=r"fp16: every node stays FP32 .*first convolution.*--fp16"):
        lowered_to_fp16(model, evidence, silent)


def test_where_no_layer_can_be_quantised_there_is_no_int8_graph_and_each_layers_reason_is_given(
    one_convolution, contract, world
):
    _, network = one_convolution(np.ones((1, 3, 1, 1), np.float32), 0.0, 1, 8, 16)
    _, evidence = world("c = Relu (b)")
    model = stripped(graft(network, contract()))
    with pytest.raises(VerdictError, match=r"int8: no layer is left to quantise \(\S+: first convolution.*--int8"):
        lowered_to_int8(model, evidence, silent)
