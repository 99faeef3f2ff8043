"""`cnn-trans`: seven convolutions down to an eighth of the size and a transposed one back to a quarter ("CNN+trans").

481,261 parameters.
Source: slides of the Industrial University of Ho Chi Minh City, 2022, and the code that they descend from.
"""

from torch import nn

from mde_runtime.contract import Contract
from mde_train.models.parts.nyu_small import small_contract
from mde_train.models.parts.precise import PreciseConv2d

WIDTHS = (50, 50, 50, 80, 100, 120, 120)
# A fresh network says about a room's mean depth: below 0 the last ReLU would have no gradient to leave it.
START_M = 3.0


def contract(height_px: int, width_px: int) -> Contract:
    """Frames at 228x304, [0, 1]; metres, 0 to 10."""
    return plain_contract(height_px, width_px)


def plain_contract(height_px: int, width_px: int) -> Contract:
    """The contract of the three networks that start from nothing: values in [0, 1]."""
    return small_contract(height_px, width_px, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def build() -> nn.Module:
    """The network with fresh weights: (N, 3, 228, 304) to (N, 1, 57, 76), metres, 0 and more."""
    features = seven_convolutions(pool_after=(4, 5, 6))
    up = nn.ConvTranspose2d(WIDTHS[-1], WIDTHS[-1], (3, 2), stride=2)
    return nn.Sequential(*features, up, *head())


def seven_convolutions(pool_after: tuple[int, ...]) -> list[nn.Module]:
    """Convolution, ReLU, BatchNorm, seven times; halved after those that are named, counted from 1."""
    layers: list[nn.Module] = []
    for number, (before, width) in enumerate(zip((3, *WIDTHS), WIDTHS, strict=False), start=1):
        layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU(inplace=True), nn.BatchNorm2d(width)]
        if number in pool_after:
            layers.append(nn.MaxPool2d(2))
    return layers


def head() -> tuple[nn.Module, ...]:
    """To one channel, 0 and more."""
    last = PreciseConv2d(WIDTHS[-1], 1, 3, padding=1)
    nn.init.constant_(last.get_parameter("bias"), START_M)
    return last, nn.ReLU(inplace=True)
