"""Depth as colours: one palette for every picture, whose lightness says how near."""

import numpy as np
import pytest

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
