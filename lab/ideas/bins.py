"""`fast-bins`: `fast` with a head that chooses among depths which it sets for each picture.

After AdaBins (Bhat et al., CVPR 2021), without its transformer: the widths of the bins come from the mean of the
features, and a pixel's depth is the mean of the bins by their probabilities.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lab.ideas.start import begin_from
from mde_runtime.contract import Contract
from mde_train.models import fast
from mde_train.models.parts.fine_head import CELL_PX

NUM_BINS = 32


def contract(height_px: int, width_px: int) -> Contract:
    """As of `fast`."""
    return fast.contract(height_px, width_px)


def build(weights: str | Path = "none") -> nn.Module:
    """The network. weights: a checkpoint of `fast` to begin all but the head from, or `none`."""
    network = fast.Fast()
    network.add_module("head", BinsHead(fast.WIDTHS[0], fast.NEAR_M, fast.FAR_M))
    return begin_from(weights, network)


class BinsHead(nn.Module):
    """(N, channels, H/2, W/2) to (N, 1, H, W), metres above near_m and up to far_m."""

    def __init__(self, channels: int, near_m: float, far_m: float):
        super().__init__()
        self.near_m, self.far_m = near_m, far_m
        self.scores = nn.Conv2d(channels, NUM_BINS * CELL_PX**2, 3, padding=1)
        self.widths = nn.Linear(channels, NUM_BINS)

    def forward(self, x: Tensor) -> Tensor:
        """Metres, (N, 1, H, W)."""
        shares = self.widths(x.mean(dim=(2, 3))).softmax(dim=1)
        ends_m = self.near_m + (self.far_m - self.near_m) * shares.cumsum(dim=1)  # the last is far_m: the sky has it
        chances = F.pixel_shuffle(self.scores(x), CELL_PX).softmax(dim=1)
        return torch.einsum("nkhw,nk->nhw", chances, ends_m).unsqueeze(1)
