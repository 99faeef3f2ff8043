"""`ssim`: 1 - structural similarity, and the map that it is the mean of."""

import math

import torch
from torch import Tensor

from mde_runtime.metrics import SSIM_SIGMA_PX, SSIM_WINDOW_PX
from mde_train.losses.masked import masked_mean

DATA_RANGE_M = 1.0  # the seed protocol's, though the maps hold metres: it asks for flat parts to be flat


def ssim(depth_m: Tensor, truth_m: Tensor, valid: Tensor) -> Tensor:
    """1 - mean of the SSIM map over the valid pixels; invalid ones count as right inside their neighbours' windows."""
    return 1.0 - masked_mean(ssim_map(depth_m.where(valid, truth_m), truth_m, DATA_RANGE_M), valid)


def ssim_map(depth_m: Tensor, truth_m: Tensor, data_range_m: float) -> Tensor:
    """The SSIM at every pixel of (N, 1, h, w) maps: `mde_runtime.metrics.ssim_map`, in float32 and with gradients."""
    x, y = depth_m, truth_m
    blurred = _blur(torch.cat((x, y, x * x, y * y, x * y)))
    mean_x, mean_y, mean_xx, mean_yy, mean_xy = blurred.chunk(5)
    variances = mean_xx - mean_x.square() + mean_yy - mean_y.square()
    covariance = mean_xy - mean_x * mean_y
    c1, c2 = (0.01 * data_range_m) ** 2, (0.03 * data_range_m) ** 2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x.square() + mean_y.square() + c1)
    return luminance * (2 * covariance + c2) / (variances + c2)


def _blur(maps: Tensor) -> Tensor:
    """Gaussian-weighted mean around each pixel, zeros beyond the border.

    As two products with band matrices: of two one-channel convolutions the backward pass on a CPU takes five times as
    long (torch 2.13, 16 maps of 144x256).
    """
    rows, columns = (_band(side, maps) for side in maps.shape[-2:])
    return rows @ (maps @ columns)


def _band(side_px: int, like: Tensor) -> Tensor:
    """The symmetric (side, side) matrix of the window; rows at the border sum to less than 1 (zero padding)."""
    window = [math.exp(-(offset**2) / (2 * SSIM_SIGMA_PX**2)) for offset in range(SSIM_WINDOW_PX // 2 + 1)]
    total = 2 * sum(window) - window[0]
    at = torch.arange(side_px, device=like.device)
    distance = (at[:, None] - at[None, :]).abs()
    weights = torch.tensor([*window, 0.0], device=like.device, dtype=like.dtype) / total
    return weights[distance.clamp(max=len(window))]
