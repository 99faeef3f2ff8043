"""Local errors: those that a block makes by itself from exact inputs, of all blocks in one pass."""

import numpy as np
import pytest

from mde_export.graph.canonical import to_bytes
from mde_export.judge.execute import Executor
from mde_export.precision.clipping import histograms
from mde_export.precision.int8 import activations_of
from mde_export.precision.islands import kept_by_rule, names_in
from mde_export.precision.lower import Half, Int8
from mde_export.precision.repair import layers_of

BODY = """
    [early] d = Conv (b, w4) [far] f = Add (d, k) [near] g = Sub (f, k)
    [middle] h = Conv (g, w4) [calm] r = Relu (h)
    [late] i = Conv (r, w4) [huge] j = Mul (i, big) [double] l = Add (j, j) [back] c = Div (l, big)
"""


@pytest.fixture
def errors(world):
    """The error of each layer, by its first node; of half."""

    def measure(k: float, big: float) -> dict[str, float]:
        model, evidence = world(BODY, k=k, big=big)
        islands = kept_by_rule(model)
        layers = layers_of(model, names_in(islands))
        found = Half(model).local_errors(islands, layers, evidence.pictures.frames[:3])
        assert list(found) == layers
        return {layer[0]: error for layer, error in found.items()}

    return measure


def test_a_block_that_loses_bits_is_worse_than_those_that_read_what_it_gives(errors):
    found = errors(k=500.0, big=1.0)
    assert found["early"] > 100 * found["middle"] > 0
    assert found["middle"] == pytest.approx(found["late"], rel=5)  # half's own rounding, each time


def test_a_block_that_overflows_is_infinitely_wrong_and_those_before_it_are_not(errors):
    found = errors(k=1.0, big=60000.0)
    assert found["late"] == np.inf
    assert found["early"] < found["middle"] * 100 < 1


def test_the_error_is_that_of_the_block_run_by_itself_in_half(world):
    model, evidence = world("[layer] d = Conv (b, w4) [add] c = Add (d, d)")
    islands = kept_by_rule(model)
    frames = evidence.pictures.frames[:1]
    error = Half(model).local_errors(islands, layers_of(model, names_in(islands)), frames)["layer", "add"]
    watched = model.clone()
    watched.graph.outputs.extend(value for node in watched.graph for value in node.outputs if value.name in ("b", "c"))
    exact = Executor(to_bytes(watched), literal=True).run({"frame": frames})
    product = exact["b"].astype(np.float16).astype(np.float32)  # w4 is the identity
    doubled = (2 * product).astype(np.float16).astype(np.float32)
    assert error == pytest.approx(np.sum((doubled - exact["c"]) ** 2) / np.sum(exact["c"] ** 2), rel=1e-3)


def test_of_int8_a_layer_whose_channels_differ_by_thousands_is_the_worst(world):
    body = "[easy] d = Conv (b, w4) [blow_up] e = Mul (d, outlier) [hard] f = Conv (e, w4) [undo] c = Div (f, outlier)"
    model, evidence = world(body, outlier=[1.0, 1.0, 2000.0])
    islands = kept_by_rule(model)
    names = activations_of(model, names_in(islands))
    frames = evidence.pictures.frames[:3]
    seen = histograms(model, names, frames)
    way = Int8(model, {name: seen[name].largest for name in names}, "max")
    found = way.local_errors(islands, layers_of(model, names_in(islands)), frames)
    assert max(found, key=lambda layer: found[layer])[0] == "hard"


def test_operators_that_torch_marks_with_an_older_version_are_taken(world):
    model, evidence = world("[layer] d = Conv (b, w4) [share] s = Softmax <axis = 1> (d) [mix] c = Mul (s, b)")
    model.graph.opset_imports[""] = 18
    for node in model.graph:
        node.version = 13 if node.op_type == "Softmax" else None
    islands = kept_by_rule(model)
    found = Half(model).local_errors(islands, layers_of(model, names_in(islands)), evidence.pictures.frames[:1])
    assert found["layer", "share", "mix"] > 0
