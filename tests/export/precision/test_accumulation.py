"""Sums of products in half are rounded after every step of at most 16 products, and are otherwise the same sums."""

import numpy as np
import onnx
import pytest

from mde_export.graph.canonical import from_bytes, stripped, to_bytes
from mde_export.judge.execute import Executor
from mde_export.precision.emulate import emulated
from mde_export.precision.half import half_from_float


def half_of(body: str, sides: str, weights: dict[str, np.ndarray]):
    """An FP16 graph of (float[`sides`] x) to y, which has the rank of x, in opset 18."""
    rank = ",".join(f"y{axis}" for axis in range(sides.count(",") + 1))
    model = onnx.parser.parse_model(f"""<ir_version: 8, opset_import: ["" : 18]>
        net (float[{sides}] x) => (float[{rank}] y) {{ {body} }}""")
    model.graph.initializer.extend(onnx.numpy_helper.from_array(array, name) for name, array in weights.items())
    return half_from_float(stripped(from_bytes(model.SerializeToString())), ())


def run(half, x: np.ndarray, accumulation: str) -> np.ndarray:
    return Executor(to_bytes(emulated(half, accumulation)), literal=True).run({"x": x})["y"]


def drawn(noise, *sides: int) -> np.ndarray:
    """Values that half holds exactly, mostly positive so that a sum grows."""
    return noise.uniform(-0.2, 1, sides).astype(np.float16).astype(np.float32)


def test_a_product_of_matrices_is_the_sum_of_its_steps_of_16_each_rounded(noise):
    x, w = drawn(noise, 3, 64), drawn(noise, 64, 5)
    expected = np.zeros((3, 5), np.float32)
    for start in range(0, 64, 16):
        expected += x[:, start : start + 16] @ w[start : start + 16]
        expected = expected.astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(run(half_of("y = MatMul (x, w)", "3,64", {"w": w}), x, "half"), expected)


def test_a_convolution_of_3x3_is_rounded_after_every_channel(noise):
    x, w, b = drawn(noise, 1, 4, 6, 6), drawn(noise, 2, 4, 3, 3), drawn(noise, 2)
    expected = np.zeros((1, 2, 4, 4), np.float32)
    for channel in range(4):
        windows = np.lib.stride_tricks.sliding_window_view(x[0, channel], (3, 3))
        expected += np.einsum("hwij,oij->ohw", windows, w[:, channel])[None]
        expected = expected.astype(np.float16).astype(np.float32)
    expected = (expected + b[:, None, None]).astype(np.float16)
    given = run(half_of("y = Conv (x, w, b)", "1,4,6,6", {"w": w, "b": b}), x, "half")
    np.testing.assert_allclose(given, expected, atol=4 * 2**-10)  # in float32 a sum's order may move one rounding of 4


FORMS = {
    "a convolution": ("y = Conv <pads = [1,1,1,1]> (x, w)", "1,64,5,5", {"w": (8, 64, 3, 3)}),
    "with strides and dilations": (
        "y = Conv <strides = [2,2], dilations = [2,2], pads = [2,2,2,2]> (x, w)",
        "1,64,8,8",
        {"w": (8, 64, 3, 3)},
    ),
    "in groups": ("y = Conv <group = 4, pads = [1,1,1,1]> (x, w, b)", "1,64,5,5", {"w": (8, 16, 3, 3), "b": (8,)}),
    "of 1x1": ("y = Conv (x, w)", "1,96,5,5", {"w": (8, 96, 1, 1)}),
    "transposed": ("y = ConvTranspose <strides = [2,2]> (x, w, b)", "1,64,5,5", {"w": (64, 3, 2, 2), "b": (3,)}),
    "transposed in groups": ("y = ConvTranspose <group = 2> (x, w)", "1,64,5,5", {"w": (64, 3, 3, 3)}),
    "Gemm": ("y = Gemm <transB = 1> (x, w, b)", "4,128", {"w": (8, 128), "b": (8,)}),
    "MatMul of a stack": ("y = MatMul (x, w)", "2,3,5,64", {"w": (64, 7)}),
    "attention": ("t = Transpose <perm = [0,1,3,2]> (x) y = MatMul (x, t)", "1,2,6,64", {}),
    "with an open batch": ("y = Conv <pads = [1,1,1,1]> (x, w)", "N,64,5,5", {"w": (8, 64, 3, 3)}),
}


@pytest.mark.parametrize(("body", "sides", "weights"), FORMS.values(), ids=FORMS)
def test_sums_in_half_are_the_same_sums_with_more_rounding(body, sides, weights, noise):
    half = half_of(body, sides, {name: drawn(noise, *shape) for name, shape in weights.items()})
    x = drawn(noise, *(2 if side == "N" else int(side) for side in sides.split(",")))
    once, often = run(half, x, "float"), run(half, x, "half")
    assert once.shape == often.shape
    error = np.abs(once - often).max() / np.abs(once).max()
    assert 0 < error < 64 * 2**-11  # of up to 64 roundings, each of 2^-11 of the sum at most


@pytest.mark.parametrize(
    ("body", "sides", "weights"),
    [
        ("y = Conv <group = 64> (x, w)", "1,64,5,5", {"w": (64, 1, 3, 3)}),  # 9 products, one step
        ("y = MatMul (x, w)", "4,16", {"w": (16, 3)}),
    ],
)
def test_a_sum_of_one_step_is_rounded_once_either_way(body, sides, weights, noise):
    half = half_of(body, sides, {name: drawn(noise, *shape) for name, shape in weights.items()})
    x = drawn(noise, *map(int, sides.split(",")))
    np.testing.assert_array_equal(run(half, x, "float"), run(half, x, "half"))


def test_a_sum_that_passes_65504_on_its_way_overflows_in_half_alone():
    x = np.full((1, 64), 50, np.float32)
    x[:, 32:] = -50  # up to 80000 and back to 0
    half = half_of("y = MatMul (x, w)", "1,64", {"w": np.full((64, 1), 50, np.float32)})
    assert run(half, x, "float").item() == 0
    assert not np.isfinite(run(half, x, "half")).any()
