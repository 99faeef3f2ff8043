"""`l1-ssim`: a little absolute error beside structural dissimilarity."""

from torch import Tensor

from mde_train.losses.l1 import l1
from mde_train.losses.ssim import ssim

L1_WEIGHT = 0.1


def l1_ssim(depth_m: Tensor, truth_m: Tensor, valid: Tensor) -> Tensor:
    """0.1 L1 + (1 - SSIM) / 2. Source of the weights: Alhashim and Wonka, arXiv 1812.11941, 2018."""
    return L1_WEIGHT * l1(depth_m, truth_m, valid) + 0.5 * ssim(depth_m, truth_m, valid)
