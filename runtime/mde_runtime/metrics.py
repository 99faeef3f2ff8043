"""The field's figures for the difference of two depth maps, in numpy, float64.

depth_m and truth_m are (..., H, W) float maps in metres; valid is a bool map of the same shape. What is averaged,
over which pixels and in which order is a protocol's business (`mde_runtime.protocols`), not this file's.
"""

import numpy as np
import numpy.typing as npt

from mde_runtime.errors import BadInputError

Array = npt.NDArray[np.floating]
Mask = npt.NDArray[np.bool_]

SSIM_WINDOW_PX, SSIM_SIGMA_PX = 11, 1.5


def rmse(depth_m: Array, truth_m: Array, valid: Mask | None = None) -> float:
    """Root of the mean squared error over the valid pixels, metres. 0 is perfect."""
    return float(np.sqrt(np.mean(np.square(_difference(depth_m, truth_m, valid)))))


def bias(depth_m: Array, truth_m: Array, valid: Mask | None = None) -> float:
    """Mean of depth - truth over the valid pixels, metres: positive is too far."""
    return float(np.mean(_difference(depth_m, truth_m, valid)))


def abs_rel(depth_m: Array, truth_m: Array, valid: Mask) -> float:
    """AbsRel: mean of |depth - truth| / truth over the valid pixels. 0 is perfect.

    valid must hold truth > 0 only: a truth of 0 is no measurement, and dividing by it has spoilt published tables.
    Source: Eigen, Puhrsch and Fergus, NIPS 2014, error metrics.
    """
    difference = _difference(depth_m, truth_m, valid)
    truth = np.asarray(truth_m, np.float64)[valid]
    if truth.min() <= 0:
        raise BadInputError("AbsRel: a valid pixel has a true depth of 0 m or less; mask it")
    return float(np.mean(np.abs(difference) / truth))


def delta1(depth_m: Array, truth_m: Array, valid: Mask | None = None, threshold: float = 1.25) -> float:
    """δ1: the share of valid pixels with max(depth / truth, truth / depth) < 1.25. 1 is perfect.

    Written without a division, so that a depth of 0 counts as wrong and not as NaN.
    Source: Eigen, Puhrsch and Fergus, NIPS 2014, error metrics.
    """
    depth, truth = (np.asarray(values, np.float64) for values in (depth_m, truth_m))
    if valid is not None:
        depth, truth = depth[valid], truth[valid]
    if not depth.size:
        raise _no_valid_pixel()
    return float(np.mean((depth < threshold * truth) & (truth < threshold * depth)))


def ssim_map(depth_m: Array, truth_m: Array, data_range: float) -> npt.NDArray[np.float64]:
    """The structural similarity at every pixel, (..., H, W). 1 is equal.

    Gaussian window of 11x11 px, sigma 1.5 px, zero padding (the map keeps its size, borders included), biased variances
    as E[x²] - E[x]², C1 = (0.01 data_range)², C2 = (0.03 data_range)². float64, because with a small data_range the
    constants are at the level of float32's rounding of E[x²] - E[x]² wherever the map is flat.
    Source: Wang, Bovik, Sheikh and Simoncelli, IEEE TIP 2004.
    """
    x, y = (np.asarray(values, np.float64) for values in (depth_m, truth_m))
    mean_x, mean_y = _blur(x), _blur(y)
    variance_x = _blur(x * x) - mean_x**2
    variance_y = _blur(y * y) - mean_y**2
    covariance = _blur(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    similarity: npt.NDArray[np.float64] = ((2 * mean_x * mean_y + c1) * (2 * covariance + c2)) / (
        (mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2)
    )
    return similarity


def ssim(depth_m: Array, truth_m: Array, data_range: float) -> float:
    """The mean of `ssim_map` over all its pixels."""
    return float(np.mean(ssim_map(depth_m, truth_m, data_range)))


def _difference(depth_m: Array, truth_m: Array, valid: Mask | None) -> npt.NDArray[np.float64]:
    difference = np.asarray(depth_m, np.float64) - np.asarray(truth_m, np.float64)
    if valid is not None:
        difference = difference[valid]
    if not difference.size:
        raise _no_valid_pixel()
    return difference


def _no_valid_pixel() -> BadInputError:
    return BadInputError("no valid pixel: an empty mean is not a perfect score; check the mask and the depth's unit")


def _blur(maps: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Gaussian-weighted mean around each pixel, zeros beyond the border: one axis, then the other.

    Sums of shifted maps. As matrix products they would wait for BLAS's threads, which on busy cores took 40 times as
    long (measured with OpenBLAS, two cores, another process on each).
    """
    offsets = np.arange(SSIM_WINDOW_PX // 2 + 1)
    window = np.exp(-(offsets**2) / (2 * SSIM_SIGMA_PX**2))
    window /= window[0] + 2 * window[1:].sum()
    for axis in (-1, -2):
        along = np.moveaxis(maps, axis, 0)
        blurred = window[0] * along
        for offset, weight in zip(offsets[1:], window[1:], strict=True):
            weighted = weight * along
            blurred[offset:] += weighted[: max(0, len(along) - offset)]
            blurred[: max(0, len(along) - offset)] += weighted[offset:]
        maps = np.moveaxis(blurred, 0, axis)
    return maps
