"""`seed`: the loss that `resnet34-seed` was published with."""

from torch import Tensor

from mde_train.losses.masked import masked_mean
from mde_train.losses.ssim import ssim


def seed(depth_m: Tensor, truth_m: Tensor, valid: Tensor) -> Tensor:
    """RMSE over the whole batch at once, metres, plus 1 - SSIM with a data range of 1.

    As published there is no epsilon under the root, so its gradient does not exist for a perfect batch.
    """
    return masked_mean((depth_m - truth_m).square(), valid).sqrt() + ssim(depth_m, truth_m, valid)
