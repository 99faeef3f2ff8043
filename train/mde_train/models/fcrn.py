"""`fcrn`: a frozen ResNet-50 and three up blocks that double by inserting zeros ("CNN+Res" of its authors' slides).

52,964,289 parameters, of which ResNet-50's 23,508,032 are frozen, as published, unless `is_frozen` is false; their
BatchNorms go on updating their statistics either way.
Inserting zeros and convolving with 5x5 is one transposed convolution of stride 2, and stands here as such: a quarter of
the multiply-adds, and a graph without scattered writes.
Source: slides of the Industrial University of Ho Chi Minh City, 2022; after Laina et al., 3DV 2016.
"""

import math
from pathlib import Path

import torch
from torch import Tensor, nn

from mde_runtime.contract import Contract
from mde_train.models.parts.encoder_weights import IMAGENET_MEAN, IMAGENET_STD, load_encoder_weights
from mde_train.models.parts.nyu_small import LABEL_PX, small_contract
from mde_train.models.parts.precise import PreciseConv2d
from mde_train.torchvision_ops import import_torchvision


def contract(height_px: int, width_px: int) -> Contract:
    """Frames at 228x304 as ImageNet's; metres, 0 to 10."""
    return small_contract(height_px, width_px, IMAGENET_MEAN, IMAGENET_STD)


def build(weights: str | Path = "none", is_frozen: bool = True) -> nn.Module:
    """The network. weights of ResNet-50: `none`, `imagenet` (downloaded by torchvision), or a file.

    is_frozen: ResNet-50 keeps its weights; false trains the whole network.
    """
    return FCRN(weights, is_frozen=is_frozen)


class FCRN(nn.Module):
    """(N, 3, 228, 304) to (N, 1, 57, 76), metres, 0 and more."""

    def __init__(self, weights: str | Path = "none", *, is_frozen: bool = True):
        super().__init__()
        resnet = import_torchvision().models.resnet50()
        load_encoder_weights(resnet, "resnet50", weights)
        self.encoder = nn.Sequential(*list(resnet.children())[:-2]).requires_grad_(not is_frozen)
        self.decoder = nn.Sequential(
            nn.Conv2d(2048, 1024, 1), nn.BatchNorm2d(1024), UpBlock(1024), UpBlock(512), UpBlock(256)
        )
        self.head = PreciseConv2d(128, 1, 3)
        self.relu = nn.ReLU(inplace=True)
        for part in (*self.decoder.modules(), self.head):
            if isinstance(part, (nn.Conv2d, nn.ConvTranspose2d)):
                _init(part)

    def forward(self, x_N3HW: Tensor) -> Tensor:
        """Metres. The map is a few rows and columns larger than the label; the last ones are dropped."""
        depth_N1hw: Tensor = self.relu(self.head(self.decoder(self.encoder(x_N3HW))))
        return depth_N1hw[:, :, : LABEL_PX[0], : LABEL_PX[1]]


class UpBlock(nn.Module):
    """Twice the size, half the channels C: zeros inserted, then [5x5 to C/2, ReLU, 3x3 to C/4] beside [5x5 to C/4]."""

    def __init__(self, channels: int):
        super().__init__()
        self.first = up_convolution(channels, channels // 2)
        self.relu = nn.ReLU(inplace=True)
        self.second = nn.Conv2d(channels // 2, channels // 4, 3, padding=1)
        self.beside = up_convolution(channels, channels // 4)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) to (N, C/2, 2h, 2w)."""
        return torch.cat((self.second(self.relu(self.first(x))), self.beside(x)), dim=1)


def up_convolution(channels_in: int, channels_out: int) -> nn.ConvTranspose2d:
    """Zeros inserted after each row and column, then a 5x5 convolution, as one layer; its kernel is the flipped one."""
    return nn.ConvTranspose2d(channels_in, channels_out, 5, stride=2, padding=2, output_padding=1)


def _init(part: nn.Conv2d | nn.ConvTranspose2d) -> None:
    """Weights and biases normal, variance 2 / (inputs of a kernel), as in the code that the slides descend from."""
    deviation = math.sqrt(2 / (part.in_channels * part.kernel_size[0] * part.kernel_size[1]))
    nn.init.normal_(part.weight, std=deviation)
    if part.bias is not None:
        nn.init.normal_(part.bias, std=deviation)
