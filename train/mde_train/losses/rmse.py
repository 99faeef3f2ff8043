"""`rmse`: the root of each frame's mean squared error, metres."""

from torch import Tensor

from mde_train.losses.masked import masked_mean_per_frame

EPSILON_M2 = 1e-6  # 1 mm: keeps the root's gradient finite for a perfect frame


def rmse(depth_m: Tensor, truth_m: Tensor, valid: Tensor) -> Tensor:
    """Mean over the frames of each one's RMSE, metres: a hard frame does not drown the others."""
    return (masked_mean_per_frame((depth_m - truth_m).square(), valid) + EPSILON_M2).sqrt().mean()
