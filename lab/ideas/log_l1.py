"""`log-l1`: the mean absolute error of log depth, a loss that weighs a share of the distance the same everywhere."""

from torch import Tensor

from mde_train.losses.masked import masked_mean

NEAREST_M = 0.1  # nearer counts as this: the slope of a logarithm has no end


def log_l1(depth_m: Tensor, truth_m: Tensor, valid: Tensor) -> Tensor:
    """Mean of |log depth - log truth| over the valid pixels."""
    return masked_mean((depth_m.clamp(min=NEAREST_M).log() - truth_m.clamp(min=NEAREST_M).log()).abs(), valid)
