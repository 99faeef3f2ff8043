"""Resizing as two constant matrices: out = A_rows @ map @ A_columns^T.

The same numbers everywhere: a graph that holds the matrices gives the same result in every runtime, while the
`antialias` attribute of ONNX Resize is ignored by OpenVINO without a word and implemented with a slightly different
kernel by ONNX Runtime. The form equals torch.nn.functional.interpolate(align_corners=False) with or without antialias.
"""

import functools

import numpy as np
import numpy.typing as npt

from mde_runtime.contract import Interpolation

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

MAX_PRECISION_BITS = 22  # of a weight after the point, and
MAX_WEIGHT = 1 << 15  # every weight as a whole number stays below: it is an int16


def bilinear_matrix(size_in: int, size_out: int, antialias: bool) -> Float32:
    """The (size_out, size_in) matrix that resizes one axis bilinearly; each row sums to 1."""
    return _bilinear(size_in, size_out, antialias).astype(np.float32)


def _bilinear(size_in: int, size_out: int, antialias: bool) -> Float64:
    """The (size_out, size_in) matrix that resizes one axis; each row sums to 1.

    Pixel centres are at half-integers. With antialias a triangle as wide as one output pixel (never narrower than
    one input pixel) weighs the inputs, cut off and renormalised at the borders.
    Source: the separable triangle filter of PyTorch's and Pillow's antialiased bilinear resize.
    """
    scale = size_in / size_out
    support = max(scale, 1.0) if antialias else 1.0
    centres = (np.arange(size_out)[:, None] + 0.5) * scale
    if not antialias:  # outside the map its border goes on: no centre leaves those of the outermost pixels
        centres = np.clip(centres, 0.5, size_in - 0.5)
    distance = np.abs(np.arange(size_in)[None, :] + 0.5 - centres) / support
    weights = np.clip(1.0 - distance, 0.0, None)
    matrix: Float64 = weights / weights.sum(axis=1, keepdims=True)
    return matrix


def antialiased_matrix(size_in: int, size_out: int, interpolation: Interpolation) -> Float32:
    """The (size_out, size_in) matrix that resizes one axis with antialias; each row sums to 1."""
    return _antialiased(size_in, size_out, interpolation).astype(np.float32)


def level_matrix(size_in: int, size_out: int, interpolation: Interpolation) -> Float32:
    """The same with weights that are whole multiples of 2^-p: those of torchvision's antialiased resize of uint8.

    p is the largest number of bits up to 22 with which the greatest weight stays below 2^15; halves round away from 0.
    The product with whole levels, plus 0.5, rounded down and held in 0 to 255, is its result, in every level.
    Source: PyTorch's uint8 kernel for x86-64 with AVX2, which Pillow's integer resize has shown the way.
    """
    weights = _antialiased(size_in, size_out, interpolation)
    largest, bits = float(weights.max()), MAX_PRECISION_BITS
    while np.floor(largest * 2.0**bits + 0.5) >= MAX_WEIGHT:
        bits -= 1
    whole = np.copysign(np.floor(np.abs(weights) * 2.0**bits + 0.5), weights)
    matrix: Float32 = (whole / 2.0**bits).astype(np.float32)  # 16 bits at most, so exact
    return matrix


def _antialiased(size_in: int, size_out: int, interpolation: Interpolation) -> Float64:
    if interpolation == "area":
        return _area(size_in, size_out)
    if interpolation == "bilinear":
        return _bilinear(size_in, size_out, antialias=True)
    return _bicubic(size_in, size_out)


def _area(size_in: int, size_out: int) -> Float64:
    """The (size_out, size_in) matrix of the mean over what an output pixel covers; each row sums to 1.

    Source: OpenCV's INTER_AREA of a shrunk picture, before its rounding.
    """
    edges = np.arange(size_out + 1) * (size_in / size_out)
    first, last = edges[:-1, None], edges[1:, None]
    pixels = np.arange(size_in)[None, :]
    covered = np.clip(np.minimum(last, pixels + 1) - np.maximum(first, pixels), 0.0, None)
    matrix: Float64 = covered / covered.sum(axis=1, keepdims=True)
    return matrix


def _bicubic(size_in: int, size_out: int) -> Float64:
    """The (size_out, size_in) matrix of the antialiased bicubic resize of one axis; each row sums to 1.

    Source: Keys' cubic convolution with a = -0.5, as wide as one output pixel: PyTorch's and Pillow's antialiased
    bicubic. (Without antialias PyTorch takes a = -0.75, which ONNX Resize has too, so no matrix is needed.)
    """
    scale = size_in / size_out
    centres = (np.arange(size_out)[:, None] + 0.5) * scale
    x = np.abs(np.arange(size_in)[None, :] + 0.5 - centres) / max(scale, 1.0)
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    weights = np.where(x < 1, near, np.where(x < 2, far, 0.0))
    matrix: Float64 = weights / weights.sum(axis=1, keepdims=True)
    return matrix


def resize_maps(maps: Float32, height_px: int, width_px: int, *, antialias: bool) -> Float32:
    """Resize (..., H, W) float32 maps bilinearly to (..., height_px, width_px).

    Sums over the matrices' bands: what a product of the matrices gives, without waiting for BLAS's threads, which on
    busy cores takes far longer than the work.
    """
    rows, row_weights = _bands(maps.shape[-2], height_px, antialias)
    columns, column_weights = _bands(maps.shape[-1], width_px, antialias)
    taller = sum(
        (weights[:, None] * maps[..., indices, :] for indices, weights in zip(rows, row_weights, strict=True)),
        start=np.float32(0),
    )
    resized: Float32 = sum(
        (weights * taller[..., indices] for indices, weights in zip(columns, column_weights, strict=True)),
        start=np.float32(0),
    )
    return resized


@functools.lru_cache(maxsize=64)  # bands are kept, and no matrix: one of a 12 MP picture takes 10 MB
def _bands(size_in: int, size_out: int, antialias: bool) -> tuple[npt.NDArray[np.int64], Float32]:
    """Of the matrix's rows the parts that are not 0: (taps, size_out) indices into the input, and their weights."""
    matrix = bilinear_matrix(size_in, size_out, antialias)
    num_taps = int(np.count_nonzero(matrix, axis=1).max())
    first = np.minimum(np.argmax(matrix > 0, axis=1), size_in - num_taps)
    indices = first[:, None] + np.arange(num_taps)
    return indices.T.copy(), np.take_along_axis(matrix, indices, axis=1).T.copy()
