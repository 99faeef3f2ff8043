"""Graphs are judged by the original's depth on every frame, and INT8 by the true depth as well."""

import numpy as np
import pytest

from mde_export.graph.canonical import to_bytes
from mde_export.graph.graft import graft
from mde_export.judge.certify import attempt
from mde_export.judge.evidence import MIN_FRAMES, Evidence, Pictures, evidence_of
from mde_export.judge.execute import Executor
from mde_runtime.errors import BadInputError, VerdictError
from mde_runtime.parity import Limits, measure


@pytest.fixture
def judged(one_convolution, contract, noise):
    """Judge a graph that is off by `error_m`, where the original is right: `judged("int8", error_m=0.1)`."""
    frames = noise.integers(0, 256, (MIN_FRAMES, 12, 20, 3), np.uint8)

    def graph(bias: float) -> bytes:
        _, network = one_convolution(np.full((1, 3, 1, 1), 5.0, np.float32), bias, 1, 8, 16)
        return to_bytes(graft(network, contract()))

    def judge(precision: str, error_m: float, truth_known: bool = True):
        depth_m, _ = Executor(graph(0.0), literal=False).depth(frames)
        truth_m = depth_m + noise.normal(0, 0.5, depth_m.shape).astype(np.float32) if truth_known else None
        evidence = Evidence(Pictures(frames, truth_m, "noise"), depth_m, "the original", contract())
        return attempt(precision, graph(error_m), evidence)

    return judge


def test_the_original_itself_passes_with_no_error_at_all(judged):
    trial = judged("fp32", error_m=0.0)
    assert trial.breaches == ()
    assert trial.parity.rmse_worst_m == 0.0


def test_two_centimetres_everywhere_fail_fp16_by_rmse_and_bias_and_pass_int8(judged):
    breaches = judged("fp16", error_m=0.02).breaches
    assert [breach.split(" is ")[0] for breach in breaches] == ["RMSE of the worst frame", "|bias|"]
    assert judged("int8", error_m=0.02).breaches == ()


def test_int8_that_loses_more_than_a_hundredth_of_the_accuracy_fails_where_the_truth_is_known(judged):
    (breach,) = judged("int8", error_m=0.1).breaches  # √(0.5² + 0.1²) is 2 % over 0.5
    assert breach.startswith("RMSE to the true depth is 0.5")
    assert judged("int8", error_m=0.1, truth_known=False).breaches == ()


def test_what_the_network_does_not_see_hides_no_loss_of_accuracy(one_convolution, contract, noise):
    frames = noise.integers(0, 256, (MIN_FRAMES, 12, 40, 3), np.uint8)
    half_seen = contract(source__width_px=40, resize="crop")

    def graph(bias: float) -> bytes:
        _, network = one_convolution(np.full((1, 3, 1, 1), 5.0, np.float32), bias, 1, 8, 16)
        return to_bytes(graft(network, half_seen))

    depth_m, _ = Executor(graph(0.0), literal=False).depth(frames)
    truth_m = np.where(depth_m[:] > 0, depth_m[:] + noise.normal(0, 0.5, depth_m.shape), 10).astype(np.float32)
    evidence = Evidence(Pictures(frames, truth_m, "noise"), depth_m, "the original", half_seen)
    (breach,) = attempt("int8", graph(0.1), evidence).breaches
    assert breach.startswith("RMSE to the true depth is 0.5")


def test_a_reference_that_hardly_varies_or_is_not_finite_proves_nothing(noise, contract):
    pictures = Pictures(np.zeros((64, 2, 2, 3), np.uint8), None, "frames")
    constant_in_each = np.broadcast_to(noise.uniform(0, 20, (64, 1, 1)), (64, 12, 20)).astype(np.float32)
    with pytest.raises(VerdictError, match=r"varies by 0 m within a frame .* as good as constant"):
        evidence_of(pictures, constant_in_each, 0, "the original", contract())
    varied = noise.uniform(0, 20, (64, 12, 20)).astype(np.float32)
    with pytest.raises(VerdictError, match="3 values that are NaN"):
        evidence_of(pictures, varied, 3, "the original", contract())
    assert evidence_of(pictures, varied, 0, "the original", contract()).depth_m is varied


@pytest.fixture
def bumpy(noise, contract):
    """Whether depth about a distance, with bumps of a standard deviation, is evidence: `bumpy(0, 20, 8.0, 0.05)`."""
    pictures = Pictures(np.zeros((64, 2, 2, 3), np.uint8), None, "frames")
    bumps = noise.uniform(-1, 1, (64, 12, 20)) * np.sqrt(3)  # standard deviation 1

    def evidence(near_m, far_m, distance_m, std_m):
        depth_m = (distance_m + std_m * bumps).astype(np.float32)
        return evidence_of(pictures, depth_m, 0, "the original", contract(near_m=near_m, far_m=far_m))

    return evidence


# In a wide range 3 T is more than a hundredth of a near scene's distance; in a narrow one it is less.
@pytest.mark.parametrize(
    ("near_m", "far_m", "distance_m", "enough_m", "too_little_m"),
    [(0.0, 20.0, 8.0, 0.05, 0.02), (0.1, 1.0, 0.5, 0.002, 0.0005), (0.02, 150.0, 3.0, 0.04, 0.02)],
)
def test_depth_has_to_vary_by_3_t_or_by_a_hundredth_of_its_mean(
    bumpy, near_m, far_m, distance_m, enough_m, too_little_m
):
    assert bumpy(near_m, far_m, distance_m, enough_m).depth_m.shape == (64, 12, 20)
    with pytest.raises(VerdictError, match="as good as constant"):
        bumpy(near_m, far_m, distance_m, too_little_m)


def test_depth_of_0_m_everywhere_is_constant_too(bumpy):
    with pytest.raises(VerdictError, match=r"varies by 0 m .* as good as constant"):
        bumpy(0.0, 20.0, 0.0, 0.0)


def test_a_near_scene_of_a_wide_range_is_judged_by_r2_and_a_constant_graph_fails_there(bumpy):
    evidence = bumpy(0.02, 150.0, 3.0, 0.06)  # T is 7.5 cm: a constant at 3 m keeps to every limit in metres
    limits = Limits.of("fp16", evidence.contract.from_network)

    def breaches(depth_m):
        return measure(depth_m.astype(np.float32), evidence.depth_m, 0, evidence.contract).breaches(limits)

    (breach,) = breaches(np.full(evidence.depth_m.shape, 3.0))
    assert breach.startswith("R² within frames is")
    assert breaches(evidence.depth_m + 0.001) == []


def test_zeros_where_the_network_does_not_see_are_no_variation(contract):
    cropped = contract(resize="crop", height_px=12, width_px=12, covers=(0, 0, 12, 12))
    depth_m = np.zeros((64, 12, 20), np.float32)
    depth_m[(slice(None), *cropped.seen)] = 7.0
    pictures = Pictures(np.zeros((64, 2, 2, 3), np.uint8), None, "frames")
    with pytest.raises(VerdictError, match="as good as constant"):
        evidence_of(pictures, depth_m, 0, "the original", cropped)


def test_frames_of_another_size_or_too_few_are_refused(contract):
    with pytest.raises(BadInputError, match="12x21 px, the contract's frames are 12x20 px"):
        Pictures(np.zeros((64, 12, 21, 3), np.uint8), None, "frames").check(contract())
    with pytest.raises(BadInputError, match="63 frames, 64 are needed"):
        Pictures(np.zeros((63, 12, 20, 3), np.uint8), None, "frames").check(contract())
