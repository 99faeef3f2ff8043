"""Depth as colours: one palette for every picture, whose lightness says how near."""

import numpy as np
import pytest

from mde_runtime.colouring import Colouring
from mde_runtime.colours import UNSEEN, coloured, palette

LUMA = np.array([0.2126, 0.7152, 0.0722])  # of linear light, Rec. 709


def lightness(colours: np.ndarray) -> np.ndarray:
    """CIE L* of sRGB colours, 0 to 100: in its steps equal is what looks equal."""
    encoded = colours / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    luminance = linear @ LUMA
    return np.where(luminance > 0.008856, 116 * np.cbrt(luminance) - 16, 903.3 * luminance)


def test_lightness_falls_evenly_from_near_to_far():
    steps = np.diff(lightness(palette()))
    assert (steps < 0.3).all()  # rounding to 8 bits
    assert np.abs(steps - steps.mean()).max() < 0.6  # of about 0.38 a step


def test_far_bright_is_the_same_palette_the_other_way():
    np.testing.assert_array_equal(palette("far-bright"), palette("near-bright")[::-1])


@pytest.mark.parametrize(("direction", "is_near_brighter"), [("near-bright", True), ("far-bright", False)])
def test_what_is_near_is_bright_or_dark_as_asked(direction, is_near_brighter):
    near, far = coloured(np.array([[1.0, 19.0]]), 0.0, 20.0, direction)[0].sum(axis=-1)
    assert (near > far) == is_near_brighter


def test_no_measurement_is_grey_and_depth_at_the_near_end_of_zero_is_not():
    assert coloured(np.array([[0.0, np.nan]]), 0.5, 20.0).tolist() == [[list(UNSEEN)] * 2]
    assert tuple(coloured(np.array([[0.0]]), 0.0, 20.0)[0, 0]) != UNSEEN


def test_a_picture_of_its_own_range_uses_the_whole_palette_and_says_which_range():
    depth_m = np.linspace(2.0, 3.0, 1000, dtype=np.float32).reshape(20, 50)
    near_m, far_m = Colouring(ends_m="auto").ends_of(depth_m, (0.0, 20.0))
    assert (near_m, far_m) == pytest.approx((2.02, 2.98))
    own, whole = (coloured(depth_m, *ends_m).astype(int) for ends_m in ((near_m, far_m), (0.0, 20.0)))
    assert np.ptp(own.sum(axis=-1)) > 4 * np.ptp(whole.sum(axis=-1))


@pytest.mark.parametrize("depth_m", [np.zeros((4, 4)), np.full((4, 4), np.nan)])
def test_a_picture_without_depth_keeps_the_models_range(depth_m):
    assert Colouring(ends_m="auto").ends_of(depth_m, (0.0, 20.0)) == (0.0, 20.0)


def test_a_wall_straight_ahead_is_not_drawn_as_noise():
    depth_m = 3 + np.random.default_rng(0).normal(0, 1e-3, (20, 20))
    near_m, far_m = Colouring(ends_m="auto").ends_of(depth_m, (0.0, 20.0))
    assert far_m - near_m > 0.05


def test_unseen_pixels_do_not_move_a_pictures_own_range():
    depth_m = np.linspace(2.0, 3.0, 1000).reshape(20, 50)
    holes = depth_m.copy()
    holes[:, ::7] = 0
    seen, with_holes = (Colouring(ends_m="auto").ends_of(values, (0.0, 20.0)) for values in (depth_m, holes))
    assert with_holes == pytest.approx(seen, abs=0.02)
