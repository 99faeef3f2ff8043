"""`mse`: the mean squared error, square metres."""

from torch import Tensor

from mde_train.losses.masked import masked_mean


def mse(depth_m: Tensor, truth_m: Tensor, valid: Tensor) -> Tensor:
    """Mean of (depth - truth)² over the valid pixels, m²."""
    return masked_mean((depth_m - truth_m).square(), valid)
