"""`resnet34-skip`: our default. A ResNet-34 encoder, U-Net skips, bilinear upsampling, a head of exact range.

The encoder is `resnet34-seed`'s; the decoder sees every scale again, so edges need not pass through 5x8 cells, and the
frame keeps its aspect. Nothing is frozen. 24.4 M parameters, 4.6 GMAC at 160x256.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from mde_runtime.contract import Contract
from mde_train.models import fast
from mde_train.models.parts.doubling import doubled
from mde_train.models.parts.encoder_weights import IMAGENET_MEAN, IMAGENET_STD, load_encoder_weights
from mde_train.models.parts.fine_head import FineHead, LinearHead
from mde_train.torchvision_ops import import_torchvision

ENCODER_WIDTHS = (64, 64, 128, 256, 512)  # channels at 1/2, 1/4, ... 1/32 of the size
DECODER_WIDTHS = (256, 128, 64, 32)  # channels at 1/16, ... 1/2
NEAR_M, FAR_M = fast.NEAR_M, fast.FAR_M


def contract(height_px: int, width_px: int, near_m: float = NEAR_M, far_m: float = FAR_M) -> Contract:
    """Frames at their own size, padded to a multiple of 32, as ImageNet's; metres, near to far."""
    return fast.padded_contract(height_px, width_px, IMAGENET_MEAN, IMAGENET_STD, (near_m, far_m))


def build(
    weights: str | Path = "none",
    has_skips: bool = True,
    has_range: bool = True,
    near_m: float = NEAR_M,
    far_m: float = FAR_M,
) -> nn.Module:
    """The network. weights: `none`, `imagenet` (downloaded by torchvision), or a file of ResNet-34 weights.

    Without skips the decoder sees the encoder's end alone; without a range the head is linear, in metres. Both are
    there to learn what each is worth. near_m, far_m: the range of its depth.
    """
    return ResNet34Skip(weights, has_skips=has_skips, has_range=has_range, range_m=(near_m, far_m))


class ResNet34Skip(nn.Module):
    """(N, 3, H, W), normalised as ImageNet's, sides multiples of 32, to (N, 1, H, W), metres in range_m."""

    def __init__(
        self,
        weights: str | Path = "none",
        *,
        has_skips: bool = True,
        has_range: bool = True,
        range_m: fast.Range = (NEAR_M, FAR_M),
    ):
        super().__init__()
        self.has_skips = has_skips
        resnet = import_torchvision().models.resnet34()
        load_encoder_weights(resnet, "resnet34", weights)
        self.encoder = nn.ModuleList(
            (
                nn.Sequential(resnet.conv1, resnet.bn1, resnet.relu),
                nn.Sequential(resnet.maxpool, resnet.layer1),
                resnet.layer2,
                resnet.layer3,
                resnet.layer4,
            )
        )
        beside = ENCODER_WIDTHS[-2::-1] if has_skips else (0,) * len(DECODER_WIDTHS)  # the skip at each scale
        below = (ENCODER_WIDTHS[-1], *DECODER_WIDTHS[:-1])
        self.decoder = nn.ModuleList(
            double_conv(channels + skip, width)
            for channels, skip, width in zip(below, beside, DECODER_WIDTHS, strict=True)
        )
        self.head = FineHead(DECODER_WIDTHS[-1], *range_m) if has_range else LinearHead(DECODER_WIDTHS[-1])

    def forward(self, x_N3HW: Tensor) -> Tensor:
        """Metres, (N, 1, H, W)."""
        skips = [x_N3HW]
        for stage in self.encoder:
            skips.append(stage(skips[-1]))
        x, skips = skips[-1], skips[1:-1]
        for stage in self.decoder:
            x = doubled(x)
            x = stage(torch.cat((x, skips.pop()), dim=1) if self.has_skips else x)
        depth_N1HW: Tensor = self.head(x)
        return depth_N1HW


def double_conv(channels_in: int, channels_out: int) -> nn.Sequential:
    """A stage of a decoder: two 3x3 convolutions, each with BatchNorm and ReLU; the size stays."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
        nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )
