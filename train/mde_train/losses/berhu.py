"""`berhu`: absolute error where it is small, squared where it is large."""

from torch import Tensor

from mde_train.losses.masked import masked_mean

SHARE_OF_LARGEST = 0.2
SMALLEST_LIMIT_M = 1e-6  # a perfect batch: keeps the division finite


def berhu(depth_m: Tensor, truth_m: Tensor, valid: Tensor) -> Tensor:
    """Mean of |e| up to c and (e² + c²) / 2c beyond it, metres; c is a fifth of the batch's largest |e|.

    Source: Laina et al., 3DV 2016.
    """
    error = (depth_m - truth_m).abs().where(valid, 0.0)
    limit = (SHARE_OF_LARGEST * error.detach().max()).clamp(min=SMALLEST_LIMIT_M)
    return masked_mean(error.where(error <= limit, (error.square() + limit.square()) / (2 * limit)), valid)
