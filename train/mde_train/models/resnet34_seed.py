"""`resnet34-seed`: ResNet-34 encoder and five transposed convolutions, linear end, no skips.

24,089,475 parameters, of which the encoder's first convolution and BatchNorm (9,536) are frozen, as published, unless
`is_frozen` is false: their weights get no gradient, while the BatchNorm's running statistics go on updating. The
state-dict keys are those of the published checkpoints (`encoder_layers.N...`, `decoder.N...`), so that they load.
Source: G. Lopopolo, depth estimation challenge, University of Perugia, 2024.
"""

from pathlib import Path

from torch import Tensor, nn

from mde_runtime.contract import Contract, FromNetwork, SourceFrame, ToNetwork
from mde_train.models.parts.encoder_weights import load_encoder_weights
from mde_train.models.parts.precise import PreciseConv2d, PreciseConvTranspose2d
from mde_train.torchvision_ops import import_torchvision

SIDE_PX, STRIDE_PX = 224, 32
FAR_M = 20.0


def contract(height_px: int, width_px: int) -> Contract:
    """Frames squashed to 224x224 with antialias, [0, 1] without mean and std; metres, 0 to 20."""
    return Contract(
        source=SourceFrame(height_px=height_px, width_px=width_px, colour="rgb", dtype="uint8", layout="NHWC"),
        to_network=ToNetwork(
            height_px=SIDE_PX,
            width_px=SIDE_PX,
            multiple_of_px=STRIDE_PX,
            resize="stretch",
            interpolation="bilinear",
            antialias=True,
            align_corners=False,
            rounding="none",
            pad_px=(0, 0, 0, 0),
            padding="zero",
            fill="zero",
            scale=1 / 255,
            mean=(0.0, 0.0, 0.0),
            std=(1.0, 1.0, 1.0),
        ),
        from_network=FromNetwork(
            kind="metric_depth",
            unit="m",
            near_m=0.0,
            far_m=FAR_M,
            distance="z",
            covers=(0, 0, SIDE_PX, SIDE_PX),
            interpolation="bilinear",
            antialias=True,
            align_corners=False,
            via_input=True,
            inversion="before_resize",
            scale=1.0,
            shift=0.0,
            canonical_focal_px=None,
        ),
        intrinsics=None,
    )


def build(weights: str | Path = "none", is_frozen: bool = True) -> nn.Module:
    """The network. weights: `none`, `imagenet` (downloaded by torchvision), or a file of ResNet-34 weights.

    is_frozen: the first convolution and BatchNorm keep their weights; false trains the whole network.
    """
    return ResNet34Seed(weights, is_frozen=is_frozen)


class ResNet34Seed(nn.Module):
    """(N, 3, 224, 224) in [0, 1] to (N, 1, 224, 224), metres, unbounded."""

    def __init__(self, weights: str | Path = "none", *, is_frozen: bool = True):
        super().__init__()
        resnet = import_torchvision().models.resnet34()
        load_encoder_weights(resnet, "resnet34", weights)
        self.encoder_layers = nn.Sequential(*list(resnet.children())[:-2])  # without avgpool and fc
        self.encoder_layers[:4].requires_grad_(not is_frozen)  # conv1, bn1, ReLU, maxpool
        self.decoder = nn.Sequential(
            *_double(512, 256),
            *_double(256, 128),
            nn.Conv2d(128, 128, 1),
            *_double(128, 64),
            *_double(64, 32),
            nn.Conv2d(32, 32, 1),
            PreciseConvTranspose2d(32, 1, 4, stride=2, padding=1),
            PreciseConv2d(1, 1, 1),
        )

    def forward(self, x_N3HW: Tensor) -> Tensor:
        """Metres, (N, 1, H, W)."""
        depth_N1HW: Tensor = self.decoder(self.encoder_layers(x_N3HW))
        return depth_N1HW


def _double(channels_in: int, channels_out: int) -> tuple[nn.Module, ...]:
    """Twice the size: a transposed convolution, BatchNorm, ReLU."""
    up = nn.ConvTranspose2d(channels_in, channels_out, 4, stride=2, padding=1)
    return up, nn.BatchNorm2d(channels_out), nn.ReLU(inplace=True)
