"""`l1`: the mean absolute error, metres."""

from torch import Tensor

from mde_train.losses.masked import masked_mean


def l1(depth_m: Tensor, truth_m: Tensor, valid: Tensor) -> Tensor:
    """Mean of |depth - truth| over the valid pixels, metres."""
    return masked_mean((depth_m - truth_m).abs(), valid)
