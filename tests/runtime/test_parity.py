import dataclasses

import numpy as np
import pytest

from mde_runtime import BadInputError, parity
from mde_runtime.contract import Contract, FromNetwork, SourceFrame, ToNetwork
from mde_runtime.parity import Limits

TWENTY_METRES = FromNetwork(
    kind="metric_depth",
    unit="m",
    near_m=0.0,
    far_m=20.0,
    distance="z",
    covers=(0, 0, 32, 32),
    interpolation="bilinear",
    antialias=False,
    align_corners=False,
    via_input=True,
    inversion="before_resize",
    scale=1.0,
    shift=0.0,
    canonical_focal_px=None,
)
CONTRACT = Contract(
    source=SourceFrame(height_px=32, width_px=32, colour="rgb", dtype="uint8", layout="NHWC"),
    to_network=ToNetwork(
        height_px=32,
        width_px=32,
        multiple_of_px=1,
        resize="stretch",
        interpolation="bilinear",
        antialias=False,
        align_corners=False,
        rounding="none",
        pad_px=(0, 0, 0, 0),
        padding="zero",
        fill="zero",
        scale=1 / 255,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
    ),
    from_network=TWENTY_METRES,
    intrinsics=None,
)


@pytest.fixture
def reference() -> np.ndarray:
    """Depth of four frames (4, 32, 32), tilted planes from 1 to 19 m, float32."""
    plane = np.linspace(1, 19, 32, dtype=np.float32)[:, None] + np.zeros((1, 32), np.float32)
    return np.stack([plane, plane[::-1], plane.T, plane.T[:, ::-1]])


def breaches(depth_m, reference, precision="fp32", num_nonfinite=0):
    return parity.measure(depth_m, reference, num_nonfinite, CONTRACT).breaches(Limits.of(precision, TWENTY_METRES))


def test_the_limits_are_a_centimetre_over_twenty_metres():
    assert Limits.of("fp16", TWENTY_METRES) == pytest.approx(Limits(0.01, 0.05, 0.0025, 0.999, 0.999, 0))
    assert Limits.of("fp32", TWENTY_METRES) == Limits.of("fp16", TWENTY_METRES)


def test_int8_is_judged_by_its_rmse_and_by_the_variation_that_it_keeps():
    assert Limits.of("int8", TWENTY_METRES) == Limits(pytest.approx(0.4), None, None, None, 0.95, 0)


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
        "R² within frames",
    ]


def test_values_that_were_nonfinite_before_the_clip_breach(reference):
    assert breaches(reference, reference, num_nonfinite=1) == ["1 values were NaN or Inf before the clip"]


def test_unequal_shapes_are_an_error(reference):
    with pytest.raises(BadInputError, match="cannot be compared"):
        parity.measure(reference[:, :16], reference, 0, CONTRACT)


RANGES = [(0.0, 20.0), (0.1, 1.0), (0.02, 150.0)]  # a street, an arm over a table, a network for anything


def at_range(near_m, far_m):
    expected = dataclasses.replace(TWENTY_METRES, near_m=near_m, far_m=far_m)
    return dataclasses.replace(CONTRACT, from_network=expected)


def judge(depth_m, reference_m, precision, contract):
    return parity.measure(depth_m, reference_m, 0, contract).breaches(Limits.of(precision, contract.from_network))


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize(("near_m", "far_m"), RANGES)
@pytest.mark.parametrize("spread", [0.5, 0.01])  # of the range: all of it, or one scene in a wide one
def test_a_constant_passes_at_no_range_and_in_no_precision(reference, near_m, far_m, spread, precision):
    contract = at_range(near_m, far_m)
    scaled = (near_m + (far_m - near_m) * spread * reference / 20).astype(np.float32)
    each_mean = np.broadcast_to(scaled.mean(axis=(1, 2), keepdims=True), scaled.shape).astype(np.float32)
    assert any(breach.startswith("R² within frames is") for breach in judge(each_mean, scaled, precision, contract))
    assert judge(scaled, scaled, precision, contract) == []


def test_a_reference_without_variation_explains_nothing(reference):
    flat = np.full_like(reference, 5.0)
    assert parity.measure(flat, flat, 0, CONTRACT).r2 == 0.0


def test_what_is_lost_of_the_variation_is_the_share_of_the_squared_error(reference):
    half = reference.mean(axis=(1, 2), keepdims=True) + 0.5 * (reference - reference.mean(axis=(1, 2), keepdims=True))
    assert parity.measure(half, reference, 0, CONTRACT).r2 == pytest.approx(0.75)


def test_the_mean_relative_error_is_stated(reference):
    assert parity.measure(1.1 * reference, reference, 0, CONTRACT).abs_rel == pytest.approx(0.1, rel=1e-5)


def test_pixels_that_the_network_does_not_see_count_for_nothing(reference):
    inside = dataclasses.replace(CONTRACT.to_network, width_px=16, resize="crop")
    expected = dataclasses.replace(TWENTY_METRES, covers=(0, 0, 32, 16))
    cropped = dataclasses.replace(CONTRACT, to_network=inside, from_network=expected)
    blank = np.where((np.arange(32) >= 8) & (np.arange(32) < 24), reference, 0).astype(np.float32)
    depth = np.where(blank > 0, blank + np.float32(0.002), 0)
    figures = parity.measure(depth, blank, 0, cropped)
    assert figures.rmse_m == pytest.approx(0.002, rel=1e-3)  # over the whole frame it would be 0.0014
    assert figures.bias_m == pytest.approx(0.002, rel=1e-3)
    assert figures.reference_std_m == pytest.approx(float(np.std(blank[:, :, 8:24])), rel=1e-6)


@pytest.mark.parametrize("scale_m", [1e-6, 0.02, 3.0])
def test_the_largest_tenth_of_a_per_cent_is_never_told_smaller_than_it_is(reference, scale_m):
    chance = np.random.default_rng(1)
    depth = (reference + scale_m * chance.standard_cauchy(reference.shape)).astype(np.float32)
    figures = parity.measure(depth, reference, 0, CONTRACT)
    magnitude = np.abs(depth.astype(np.float64) - reference)
    below_m, above_m = (float(np.quantile(magnitude, 0.999, method=method)) for method in ("lower", "higher"))
    assert below_m <= figures.p999_m <= above_m + figures.max_abs_m / 65536  # a bin of its histogram
