"""Values that half cannot hold are looked for on more than the user's frames, and stay FP32 with their neighbours."""

import contextlib
from dataclasses import replace

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from mde_export.graph.canonical import from_bytes, stripped, to_bytes
from mde_export.judge.evidence import Evidence
from mde_export.judge.execute import Executor
from mde_export.precision.half import LARGEST_HALF
from mde_export.precision.islands import kept_by_rule
from mde_export.precision.lower import lowered_to_fp16
from mde_export.precision.probes import probing_frames, variants_of
from mde_export.precision.ranges import Range, beyond_half, ranges


@contextlib.contextmanager
def silent(_name, _total=None):
    yield lambda: None


def of_frames(model, evidence: Evidence, frames: np.ndarray) -> Evidence:
    depth_m, _ = Executor(to_bytes(model), literal=False).depth(frames)
    return replace(evidence, pictures=replace(evidence.pictures, frames=frames), depth_m=depth_m)


def kept_in(islands) -> set[str]:
    return {name for island in islands for name in island.nodes}


SQUARED = """
    [lift] l = Mul (b, k) [square] s = Mul (l, l) [mean] v = ReduceMean <axes = [1]> (s) [guard] g = Add (v, one)
    [root] r = Sqrt (g) [divide] n = Div (l, r) [up] c = Add (n, two)
"""


def test_what_only_daylight_would_overflow_stays_float_though_the_frames_are_of_dusk(world):
    model, evidence = world(SQUARED, k=500.0, one=1.0, two=2.0)
    dusk = of_frames(model, evidence, evidence.pictures.frames // 8)
    seen = ranges(model, dusk.pictures.frames)
    assert seen["s"].largest * 2 < LARGEST_HALF  # nothing to be seen of it on the frames
    trial = lowered_to_fp16(model, dusk, silent)
    assert {"square", "mean"} <= kept_in(trial.kept_fp32)
    assert "divide" not in kept_in(trial.kept_fp32)


def test_what_no_frame_can_overflow_is_left_in_half(world):
    model, evidence = world(SQUARED, k=5.0, one=1.0, two=2.0)
    dusk = of_frames(model, evidence, evidence.pictures.frames // 8)
    assert kept_in(lowered_to_fp16(model, dusk, silent).kept_fp32).isdisjoint({"square", "mean", "divide"})


def test_frames_are_varied_to_full_brightness_to_full_contrast_and_to_dusk():
    frame = np.linspace(20, 60, 48).reshape(4, 4, 3).astype(np.uint8)
    brighter, contrast, darker = variants_of(frame)
    assert brighter.max() == contrast.max() == 255
    assert (brighter.min(), contrast.min()) == (85, 0)
    assert darker.max() == 8  # 60 / 8 is 7.5, and halves go to the even one


def test_a_black_frame_has_variants_like_any_other():
    assert not variants_of(np.zeros((2, 2, 3), np.uint8)).any()


def test_the_probing_frames_hold_the_users_own_and_all_that_a_camera_may_send(world):
    _, evidence = world("c = Relu (b)")
    frames = probing_frames(evidence)
    assert any((frame == evidence.pictures.frames[0]).all() for frame in frames)
    assert {0, 255} <= {int(frame.min()) for frame in frames if frame.min() == frame.max()}


def test_the_range_of_a_divisor_is_that_of_all_frames_and_a_zero_is_not_small(world):
    model, _ = world("[divide] q = Div (one, b) c = Relu (q)", one=1.0)
    frames = np.zeros((2, 12, 20, 3), np.uint8)
    frames[1] = 51
    frames[1, :6] = 102
    seen = ranges(model, frames)["b"]
    assert (seen.largest, seen.smallest) == pytest.approx((0.4, 0.2), rel=1e-6)
    assert ranges(model, frames[:1])["b"] == Range(0.0, np.inf)


def network(body: str, **constants: float):
    """A network without stages from text: (float[1,3,2,2] x) to the same y."""
    said = ", ".join(f"float {name} = {{{value!r}}}" for name, value in constants.items())
    text = f"""<ir_version: 8, opset_import: ["" : 17]>
        net (float[1,3,2,2] x) => (float[N,C,H,W] y) <{said}> {{ {body} }}"""
    return stripped(from_bytes(onnx.parser.parse_model(text).SerializeToString()))


@pytest.mark.parametrize(
    "body",
    [
        "[norm] n = ReduceL2 <axes = [1]> (x) [guard] g = Add (n, eps) [divide] y = Div (x, g)",
        "[square] n = ReduceSumSquare <axes = [1]> (x) [guard] g = Add (n, eps) [root] r = Sqrt (g) "
        "[divide] y = Div (x, r)",
        "[size] n = Abs (x) [guard] g = Max (n, eps) [log] l = Log (g) [end] y = Neg (l)",
        "[size] n = Abs (x) [guard] g = Clip (n, eps) [divide] y = Reciprocal (g)",
    ],
)
@pytest.mark.parametrize("eps", [1e-8, 1e-6])  # 0 in half, and with 5 of its 11 bits
def test_a_guard_that_half_loses_stays_float_with_what_it_guards_and_what_divides_by_it(body, eps):
    model = network(body, eps=eps)
    expected = {str(node.name) for node in model.graph} - {"end"}
    assert expected <= kept_in(kept_by_rule(model))


def test_a_guard_that_half_holds_is_left_in_half():
    body = "[norm] n = ReduceL2 <axes = [1]> (x) [guard] g = Add (n, eps) [divide] y = Div (x, g)"
    islands = kept_by_rule(network(body, eps=1e-3))
    assert kept_in(islands).isdisjoint({"norm", "guard", "divide"})


def test_a_mask_of_minus_infinity_is_the_same_in_half():
    text = """<ir_version: 8, opset_import: ["" : 17]> net (float[1,3,2,2] x, bool[1,3,2,2] m) => (float[N,C,H,W] y)
        { [mask] y = Where (m, x, far) }"""
    model = onnx.parser.parse_model(text)
    islands = {}
    for far in (-np.inf, -1e9):
        model.graph.ClearField("initializer")
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(far), "far"))
        islands[far] = kept_in(kept_by_rule(stripped(from_bytes(model.SerializeToString()))))
    assert islands == {-np.inf: set(), -1e9: {"mask"}}


def test_a_small_weight_beside_a_large_one_is_no_reason_to_keep_a_layer():
    model = network("[scale] y = Mul (x, w)", w=1.0)
    value = next(value for value in model.graph.initializers.values() if value.name == "w")
    value.const_value = onnx_tensor([1.0, 1e-9, 0.0])
    assert kept_in(kept_by_rule(model)) == set()
    value.const_value = onnx_tensor([1e-9, 1e-9, 0.0])
    assert kept_in(kept_by_rule(model)) == {"scale"}


def onnx_tensor(values: list[float]):
    return ir.tensor(np.array(values, np.float32).reshape(1, 3, 1, 1), name="w")


def test_a_divisor_that_vanishes_is_kept_with_all_that_it_is_made_of():
    model = network(
        "[centre] d = Sub (x, one) [square] q = Mul (d, d) [mean] v = ReduceMean <axes = [1]> (q) [root] r = Sqrt (v) "
        "[divide] n = Div (d, r) [end] y = Neg (n)",
        one=1.0,
    )
    small, fair = Range(1.0, 1e-8), Range(1.0, 0.01)
    seen = {"d": small, "q": small, "v": small, "r": Range(1.0, 2e-5), "n": fair, "y": fair}
    assert kept_in(beyond_half(model, seen)) >= {"square", "mean", "root", "divide"}
    assert kept_in(beyond_half(model, seen | {"v": fair, "r": Range(1.0, 0.1)})) == set()  # d and q may be small there


def test_a_tensor_that_is_small_everywhere_is_kept():
    model = network("[shrink] s = Mul (x, k) [grow] y = Div (s, k)", k=1e-3)
    assert kept_in(beyond_half(model, {"s": Range(5e-5, 0.0)})) == {"shrink", "grow"}
    assert kept_in(beyond_half(model, {"s": Range(5e-3, 1e-9)})) == set()
