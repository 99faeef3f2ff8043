"""`mobilenetv2-skip`: a MobileNetV2 encoder that has seen photographs, and the decoder of `resnet34-skip`.

The encoder is torchvision's `mobilenet_v2` (Sandler et al., CVPR 2018) without its last, widest layer. Begun from
ImageNet's weights it generalises better from a few thousand frames than a larger network begun from nothing. 2.8 M
parameters.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from mde_runtime.contract import Contract
from mde_train.models import fast
from mde_train.models.parts.doubling import doubled
from mde_train.models.parts.encoder_weights import IMAGENET_MEAN, IMAGENET_STD, load_encoder_weights
from mde_train.models.parts.fine_head import FineHead
from mde_train.models.resnet34_skip import double_conv
from mde_train.torchvision_ops import import_torchvision

STAGES = (2, 4, 7, 14, 18)  # where each scale ends in torchvision's `features`: 1/2, 1/4, ... 1/32 of the size
ENCODER_WIDTHS = (16, 24, 32, 96, 320)  # channels there
DECODER_WIDTHS = (128, 96, 64, 32)  # channels at 1/16, ... 1/2
NEAR_M, FAR_M = fast.NEAR_M, fast.FAR_M


def contract(height_px: int, width_px: int, near_m: float = NEAR_M, far_m: float = FAR_M) -> Contract:
    """Frames at their own size, padded to a multiple of 32, as ImageNet's; metres, near to far."""
    return fast.padded_contract(height_px, width_px, IMAGENET_MEAN, IMAGENET_STD, (near_m, far_m))


def build(weights: str | Path = "none", near_m: float = NEAR_M, far_m: float = FAR_M) -> nn.Module:
    """The network. weights: as `mde_train.models.parts.encoder_weights` takes them; near_m, far_m: of its depth."""
    return MobileNetV2Skip(weights, near_m, far_m)


class MobileNetV2Skip(nn.Module):
    """(N, 3, H, W), normalised as ImageNet's, sides multiples of 32, to (N, 1, H, W), metres in [near_m, far_m]."""

    def __init__(self, weights: str | Path = "none", near_m: float = NEAR_M, far_m: float = FAR_M):
        super().__init__()
        features = import_torchvision().models.mobilenet_v2().features
        load_encoder_weights(features, "mobilenet_v2", weights, prefix="features.")
        starts = (0, *STAGES[:-1])
        self.encoder = nn.ModuleList(features[start:end] for start, end in zip(starts, STAGES, strict=True))
        self.decoder = nn.ModuleList(
            double_conv(below + skip, width)
            for below, skip, width in zip(
                (ENCODER_WIDTHS[-1], *DECODER_WIDTHS[:-1]), ENCODER_WIDTHS[-2::-1], DECODER_WIDTHS, strict=True
            )
        )
        self.head = FineHead(DECODER_WIDTHS[-1], near_m, far_m)

    def forward(self, x_N3HW: Tensor) -> Tensor:
        """Metres, (N, 1, H, W)."""
        skips = [x_N3HW]
        for stage in self.encoder:
            skips.append(stage(skips[-1]))
        x, skips = skips[-1], skips[1:-1]
        for stage in self.decoder:
            x = stage(torch.cat((doubled(x), skips.pop()), dim=1))
        depth_N1HW: Tensor = self.head(x)
        return depth_N1HW
