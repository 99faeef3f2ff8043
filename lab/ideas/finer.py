"""`fast-finer`: `fast` on the picture made a quarter larger, its depth made as small again.

Frames of 144x256 px are seen at 180x320 px. They hold nothing finer; the network's own maps do.
"""

from pathlib import Path

import torch.nn.functional as F
from torch import Tensor, nn

from lab.ideas.start import begin_from
from mde_runtime.contract import Contract
from mde_train.models import fast

FACTOR = 1.25


def contract(height_px: int, width_px: int) -> Contract:
    """As of `fast`."""
    return fast.contract(height_px, width_px)


def build(weights: str | Path = "none") -> nn.Module:
    """The network. weights: a checkpoint of `fast` to begin from, or `none`."""
    return begin_from(weights, Finer())


class Finer(fast.Fast):
    """(N, 3, H, W) to (N, 1, H, W), metres, by way of FACTOR times the size."""

    def forward(self, x: Tensor) -> Tensor:
        """Metres, (N, 1, H, W)."""
        size = x.shape[-2:]
        height, width = (round(FACTOR * side) for side in size)
        larger = F.interpolate(x, (height, width), mode="bilinear", align_corners=False)
        depth = super().forward(F.pad(larger, (0, -width % fast.STRIDE_PX, 0, -height % fast.STRIDE_PX)))
        return F.interpolate(depth[..., :height, :width], size, mode="bilinear", align_corners=False, antialias=True)
