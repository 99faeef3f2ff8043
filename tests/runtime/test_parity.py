import numpy as np
import pytest

from mde_runtime import BadInputError, parity
from mde_runtime.contract import FromNetwork
from mde_runtime.parity import Limits

TWENTY_METRES = FromNetwork("metric_depth", "m", 0.0, 20.0, "z", (0, 0, 32, 32), "bilinear", False, 1.0, 0.0)


@pytest.fixture
def reference() -> np.ndarray:
    """Depth of four frames (4, 32, 32), tilted planes from 1 to 19 m, float32."""
    plane = np.linspace(1, 19, 32, dtype=np.float32)[:, None] + np.zeros((1, 32), np.float32)
    return np.stack([plane, plane[::-1], plane.T, plane.T[:, ::-1]])


def breaches(depth_m, reference, precision="fp32", num_nonfinite=0):
    return parity.measure(depth_m, reference, num_nonfinite, 20.0).breaches(Limits.of(precision, TWENTY_METRES))


def test_the_limits_are_a_centimetre_over_twenty_metres():
    assert Limits.of("fp16", TWENTY_METRES) == pytest.approx(Limits(0.01, 0.05, 0.0025, 0.999, 0))
    assert Limits.of("fp32", TWENTY_METRES) == Limits.of("fp16", TWENTY_METRES)


def test_int8_is_judged_by_its_rmse_alone():
    assert Limits.of("int8", TWENTY_METRES) == Limits(pytest.approx(0.4), None, None, None, 0)


def test_the_reference_itself_passes(reference):
    assert breaches(reference, reference) == []


def test_one_bad_frame_among_good_ones_is_found_and_named(reference):
    depth = reference.copy()
    depth[2] += np.where(np.arange(32) % 2, 0.011, -0.011).astype(np.float32)  # no bias, RMSE 1.1 cm
    (breach,) = breaches(depth, reference)
    assert breach == "RMSE of the worst frame is 0.0110 m, over 0.0100 m (frame 2)"


def test_a_bias_below_the_rmse_limit_is_found(reference):
    (breach,) = breaches(reference + np.float32(0.003), reference)
    assert breach.startswith("|bias| is 0.0030 m")


def test_a_few_very_wrong_pixels_are_found(reference):
    depth = reference.copy()
    depth[:, 0, :2] += np.float32(0.06)
    assert any("p99.9" in breach for breach in breaches(depth, reference))


def test_depth_without_its_structure_is_found(reference):
    chance = np.random.default_rng(0)
    assert any("SSIM" in breach for breach in breaches(reference + chance.normal(0, 0.5, reference.shape), reference))


def test_nan_breaches_every_limit(reference):
    depth = reference.copy()
    depth[1, 3, 3] = np.nan
    found = breaches(depth, reference)
    assert [breach.split(" is ")[0] for breach in found] == [
        "RMSE of the worst frame",
        "p99.9 of |Δ|",
        "|bias|",
        "SSIM of the worst frame",
    ]


def test_values_that_were_nonfinite_before_the_clip_breach(reference):
    assert breaches(reference, reference, num_nonfinite=1) == ["1 values were NaN or Inf before the clip"]


def test_unequal_shapes_are_an_error(reference):
    with pytest.raises(BadInputError, match="cannot be compared"):
        parity.measure(reference[:, :16], reference, 0, 20.0)
