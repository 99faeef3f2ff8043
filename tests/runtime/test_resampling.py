import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mde_runtime.resampling import antialiased_matrix, bilinear_matrix, level_matrix, resize_maps

torch = pytest.importorskip("torch")

FLOAT32_ROUNDING = 1e-5  # PyTorch places the pixel centres, up to 40 px, in float32: 40 * 2^-24 px and a few sums

sides = st.integers(1, 40)
two_or_more = st.integers(2, 40)  # PyTorch 2.13 copies the first row where antialiased maps become one pixel wide


@settings(max_examples=60, deadline=None)
@given(sides, sides, sides, two_or_more, st.booleans())
def test_resizing_equals_pytorchs(height, width, to_height, to_width, antialias):
    maps = np.random.default_rng(height * 41 + width).random((2, height, width), dtype=np.float32)
    theirs = torch.nn.functional.interpolate(
        torch.from_numpy(maps)[None], (to_height, to_width), mode="bilinear", antialias=antialias
    )[0].numpy()
    ours = resize_maps(maps, to_height, to_width, antialias=antialias)
    np.testing.assert_allclose(ours, theirs, atol=FLOAT32_ROUNDING)


@given(sides, sides, st.booleans())
def test_a_constant_map_stays_constant(size_in, size_out, antialias):
    rows = bilinear_matrix(size_in, size_out, antialias).sum(axis=1, dtype=np.float64)
    np.testing.assert_allclose(rows, 1, atol=FLOAT32_ROUNDING)


def test_the_same_size_changes_nothing():
    np.testing.assert_array_equal(bilinear_matrix(7, 7, True), np.eye(7))


def test_maps_of_many_sizes_leave_little_behind():
    maps = np.zeros((400, 400), np.float32)
    tracemalloc.start()
    for side in range(600, 632):
        resize_maps(maps, side, side, antialias=False)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    one_matrix = 600 * 400 * 4
    assert held < 2 * one_matrix  # for all 32 sizes


def whole_levels(levels):
    return np.clip(np.floor(levels + 0.5), 0, 255)


@pytest.mark.skipif(
    not torch.backends.cpu.get_cpu_capability().startswith("AVX"), reason="PyTorch's integer kernel is AVX2's"
)
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@settings(max_examples=40, deadline=None)
@given(height=sides, width=sides, to_height=two_or_more, to_width=two_or_more)
def test_levels_are_those_of_torchvisions_resize_of_uint8(interpolation, height, width, to_height, to_width):
    picture = np.random.default_rng(height * 41 + width).integers(0, 256, (3, height, width), np.uint8)
    theirs = torch.nn.functional.interpolate(
        torch.from_numpy(picture)[None], (to_height, to_width), mode=interpolation, antialias=True
    )[0].numpy()
    ours = picture.astype(np.float64)
    if width != to_width:
        ours = whole_levels(ours @ level_matrix(width, to_width, interpolation).T)
    if height != to_height:
        ours = whole_levels(level_matrix(height, to_height, interpolation) @ ours)
    np.testing.assert_array_equal(ours, theirs)


@settings(max_examples=40, deadline=None)
@given(size_in=sides, size_out=sides)
def test_an_area_is_the_mean_of_what_an_output_pixel_covers(size_in, size_out):
    line = np.random.default_rng(size_in * 41 + size_out).random(size_in)
    in_equal_parts = np.repeat(line, size_out)  # each pixel in as many parts as the output has pixels
    means = in_equal_parts.reshape(size_out, size_in).mean(1)
    np.testing.assert_allclose(antialiased_matrix(size_in, size_out, "area") @ line, means, atol=1e-6)  # of float32
