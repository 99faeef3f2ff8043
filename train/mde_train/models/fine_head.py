"""A head that works at half size and gives full size: the layers there are the dearest, and add the least."""

import torch.nn.functional as F
from torch import Tensor, nn

from mde_train.models.exact_range import ExactRange
from mde_train.models.precise import PreciseConv2d

CELL_PX = 2  # a pixel at half size gives a cell of 2x2


class FineHead(nn.Module):
    """(N, channels, H/2, W/2) to (N, 1, H, W), metres in [near_m, far_m]: one convolution names each cell's 2x2 depths.

    Sub-pixel convolution (Shi et al., CVPR 2016): sharp where a 2x upsampling of one depth per cell would blur.
    """

    def __init__(self, channels: int, near_m: float, far_m: float):
        super().__init__()
        self.conv = PreciseConv2d(channels, CELL_PX**2, 3, padding=1)
        self.range = ExactRange(near_m, far_m)

    def forward(self, x: Tensor) -> Tensor:
        """Metres, (N, 1, H, W)."""
        return self.range.from_units(F.pixel_shuffle(self.conv(x), CELL_PX))


class LinearHead(nn.Module):
    """As `FineHead`, without a range: metres as the convolution gives them, in and beyond any range."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = PreciseConv2d(channels, CELL_PX**2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Metres, (N, 1, H, W)."""
        return F.pixel_shuffle(self.conv(x), CELL_PX)
