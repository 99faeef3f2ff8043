"""`fast`: our light network, for CPUs and small GPUs.

A U-Net of plain 3x3 residual blocks: five scales from half size down, bilinear upsampling, concatenated skips. Dense
convolutions alone: grouped and depthwise ones are reported to be slow on Jetson (RT-MonoDepth, arXiv 2308.10569), and
some TensorRT versions fail to build them. Channels are multiples of 16, which tensor cores want. 1.50 M parameters,
0.57 GMAC at 160x256.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mde_runtime.contract import Contract, FromNetwork, SourceFrame, ToNetwork
from mde_train.models.parts.doubling import doubled
from mde_train.models.parts.fine_head import FineHead

WIDTHS = (16, 32, 64, 96, 128)  # channels at half size, then at each half of it
STRIDE_PX = 2 ** len(WIDTHS)
NEAR_M, FAR_M = 0.0, 20.0

Colour = tuple[float, float, float]
Range = tuple[float, float]


def contract(height_px: int, width_px: int, near_m: float = NEAR_M, far_m: float = FAR_M) -> Contract:
    """Frames at their own size, padded to a multiple of 32; metres, near to far."""
    mean, std = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)  # trained from scratch: no data set's statistics to keep to
    return padded_contract(height_px, width_px, mean, std, (near_m, far_m))


def padded_contract(height_px: int, width_px: int, mean: Colour, std: Colour, range_m: Range) -> Contract:
    """The contract of a network of stride 32 that keeps the frame's size; metres in range_m, near and far."""
    height, width = (side + -side % STRIDE_PX for side in (height_px, width_px))
    return Contract(
        source=SourceFrame(height_px=height_px, width_px=width_px, colour="rgb", dtype="uint8", layout="NHWC"),
        to_network=ToNetwork(
            height_px=height,
            width_px=width,
            multiple_of_px=STRIDE_PX,
            resize="pad",
            interpolation="bilinear",
            antialias=False,
            align_corners=False,
            rounding="none",
            pad_px=(0, 0, 0, 0),
            padding="zero",
            fill="zero",
            scale=1 / 255,
            mean=mean,
            std=std,
        ),
        from_network=FromNetwork(
            kind="metric_depth",
            unit="m",
            near_m=range_m[0],
            far_m=range_m[1],
            distance="z",
            covers=(0, 0, height, width),
            interpolation="bilinear",
            antialias=False,
            align_corners=False,
            via_input=True,
            inversion="before_resize",
            scale=1.0,
            shift=0.0,
            canonical_focal_px=None,
        ),
        intrinsics=None,
    )


def build(near_m: float = NEAR_M, far_m: float = FAR_M) -> nn.Module:
    """The network with fresh weights. near_m, far_m: the range of its depth."""
    return Fast(near_m, far_m)


class Fast(nn.Module):
    """(N, 3, H, W), normalised, sides multiples of 32, to (N, 1, H, W), metres in [near_m, far_m]."""

    def __init__(self, near_m: float = NEAR_M, far_m: float = FAR_M) -> None:
        super().__init__()
        self.stem = _conv(3, WIDTHS[0], stride=2)
        self.down = nn.ModuleList(
            nn.Sequential(Residual(above, width, stride=2), Residual(width, width)) for above, width in pairwise(WIDTHS)
        )
        self.up = nn.ModuleList(
            nn.Sequential(_conv(below + width, width), _conv(width, width)) for below, width in pairwise(WIDTHS[::-1])
        )
        self.head = FineHead(WIDTHS[0], near_m, far_m)

    def forward(self, x_N3HW: Tensor) -> Tensor:
        """Metres, (N, 1, H, W)."""
        skips = [self.stem(x_N3HW)]
        for stage in self.down:
            skips.append(stage(skips[-1]))
        x = skips.pop()
        for stage in self.up:
            x = stage(torch.cat((doubled(x), skips.pop()), dim=1))
        depth_N1HW: Tensor = self.head(x)
        return depth_N1HW


class Residual(nn.Module):
    """Two 3x3 convolutions with BatchNorm beside an identity, or a 1x1 convolution where the shape changes."""

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1):
        super().__init__()
        self.first = _conv(channels_in, channels_out, stride)
        self.second = nn.Sequential(
            nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False), nn.BatchNorm2d(channels_out)
        )
        self.beside: nn.Module = nn.Identity()
        if (stride, channels_in) != (1, channels_out):
            self.beside = nn.Sequential(
                nn.Conv2d(channels_in, channels_out, 1, stride, bias=False), nn.BatchNorm2d(channels_out)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Same channels as channels_out, size divided by the stride."""
        return F.relu(self.second(self.first(x)) + self.beside(x))


def _conv(channels_in: int, channels_out: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )
