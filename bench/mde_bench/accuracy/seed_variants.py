"""Variants of the seed protocol's two figures, because published ones were computed in other ways.

The same maps, 224x224 px, truth clipped to 0-20 m, as in `mde_runtime.protocols.seed`:
- `ssim_float32`: SSIM with float32 sums, as published. Where a map is flat, float32 cannot tell E[x²] - E[x]² from 0,
  so the figure depends on who sums in which order, in the third decimal: to be compared, never to be relied on.
- `rmse_pooled_m`: over all pixels of all frames at once, instead of the mean over batches.
- `rmse_below_far_m`: the same over the pixels whose truth is nearer than 20 m: without the sky.
"""

import numpy as np
import numpy.typing as npt

from mde_runtime import metrics
from mde_runtime.protocols.seed import BATCH_SIZE, FAR_M, SIDE_PX, SSIM_DATA_RANGE, network_size_truth
from mde_runtime.resampling import resize_maps

RESIZING_M = 1e-3  # what a resize in float32 may take off a flat 20 m: some micrometres

Float32 = npt.NDArray[np.float32]


class BesideSeed:
    """Accumulates the figures beside `seed` (is_clipped) or `seed-raw`."""

    def __init__(self, *, is_clipped: bool):
        self._is_clipped = is_clipped
        self._similarities: list[float] = []
        self._squares = np.zeros(2)  # sums over all pixels, over those nearer than far
        self._counts = np.zeros(2)

    def add(self, depth_m: npt.NDArray[np.floating], truth_m: npt.NDArray[np.floating]) -> None:
        """One frame; depth and truth (H, W) metres."""
        depth = np.asarray(np.clip(depth_m, 0, FAR_M) if self._is_clipped else depth_m, np.float32)
        if depth.shape != (SIDE_PX, SIDE_PX):
            depth = resize_maps(depth, SIDE_PX, SIDE_PX, antialias=True)
        truth = network_size_truth(truth_m)
        square = np.square(depth.astype(np.float64) - truth)
        near = truth < FAR_M - RESIZING_M
        self._squares += (square.sum(), square[near].sum())
        self._counts += (square.size, near.sum())
        self._similarities.append(_ssim_float32(depth, truth))

    def values(self) -> dict[str, float]:
        """The figures over all frames added so far; without a pixel nearer than far, its figure is left out."""
        batches = range(0, len(self._similarities), BATCH_SIZE)
        by_batch = [np.mean(self._similarities[start : start + BATCH_SIZE]) for start in batches]
        values = {"ssim_float32": float(np.mean(by_batch)), "rmse_pooled_m": self._rmse(0)}
        return values | ({"rmse_below_far_m": self._rmse(1)} if self._counts[1] else {})

    def _rmse(self, which: int) -> float:
        return float(np.sqrt(self._squares[which] / self._counts[which]))


def _ssim_float32(x: Float32, y: Float32) -> float:
    """`metrics.ssim` with every sum in float32."""
    mean_x, mean_y = _blur(x), _blur(y)
    variance_x, variance_y = _blur(x * x) - mean_x**2, _blur(y * y) - mean_y**2
    covariance = _blur(x * y) - mean_x * mean_y
    c1, c2 = (np.float32((k * SSIM_DATA_RANGE) ** 2) for k in (0.01, 0.03))
    similarity = ((2 * mean_x * mean_y + c1) * (2 * covariance + c2)) / (
        (mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2)
    )
    return float(np.mean(similarity))


def _blur(values: Float32) -> Float32:
    """The Gaussian-weighted mean around each pixel, zeros beyond the border, summed in float32."""
    reach = metrics.SSIM_WINDOW_PX // 2
    weights = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * metrics.SSIM_SIGMA_PX**2))
    weights = (weights / weights.sum()).astype(np.float32)
    for _ in range(2):  # down the rows, then, transposed, along them
        padded = np.pad(values, ((reach, reach), (0, 0)))
        values = sum((w * padded[k : k + len(values)] for k, w in enumerate(weights)), np.zeros_like(values)).T
    return values
