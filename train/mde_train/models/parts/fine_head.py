"""A head that works at half size and gives full size: the layers there are the dearest, and add the least."""

import torch.nn.functional as F
from torch import Tensor, nn

from mde_train.models.parts.exact_range import ExactRange
from mde_train.models.parts.precise import PreciseConv2d

CELL_PX = 2  # a pixel at half size gives a cell of 2x2


class LinearHead(nn.Module):
    """(N, channels, H/2, W/2) to (N, 1, H, W): one convolution gives each cell's 2x2 numbers, of any size.

    Sub-pixel convolution (Shi et al., CVPR 2016): sharp where a 2x upsampling of one number per cell would blur.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.conv = PreciseConv2d(channels, CELL_PX**2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """As the convolution gives them, (N, 1, H, W): metres, where the network was trained so."""
        return F.pixel_shuffle(self.conv(x), CELL_PX)


class FineHead(LinearHead):
    """As `LinearHead`, but metres in [near_m, far_m], both ends reached exactly."""

    def __init__(self, channels: int, near_m: float, far_m: float):
        super().__init__(channels)
        self.range = ExactRange(near_m, far_m)

    def forward(self, x: Tensor) -> Tensor:
        """Metres, (N, 1, H, W)."""
        return self.range.from_units(super().forward(x))
