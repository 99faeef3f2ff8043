"""`cnn-fc`: four convolutions and two fully connected layers over the whole picture ("CNN+FC" of its authors' slides).

319,120,760 parameters at full width, nearly all in the first connected layer. Its input size is fixed.
Source: slides of the Industrial University of Ho Chi Minh City, 2022, and the code that they descend from.
"""

from torch import Tensor, nn

from mde_runtime.contract import Contract
from mde_runtime.errors import UsageError
from mde_train.models.cnn_trans import plain_contract
from mde_train.models.parts.nyu_small import LABEL_PX

FULL_WIDTH = LABEL_PX[0] * LABEL_PX[1]  # as many hidden units as pixels in the label


def contract(height_px: int, width_px: int) -> Contract:
    """Frames at 228x304, [0, 1]; metres, 0 to 10."""
    return plain_contract(height_px, width_px)


def build(width: int = FULL_WIDTH) -> nn.Module:
    """The network. width: hidden units, 1 to 4332; at full width it takes 1.3 GB."""
    if not 1 <= width <= FULL_WIDTH:
        raise UsageError(f"cnn-fc: width {width} is not between 1 and {FULL_WIDTH} hidden units")
    return CnnFc(width)


class CnnFc(nn.Module):
    """(N, 3, 228, 304) to (N, 1, 57, 76), metres, 0 and more."""

    def __init__(self, width: int):
        super().__init__()
        self.features = nn.Sequential(
            *_layer(3, 32, 11),
            nn.MaxPool2d(2),
            *_layer(32, 64, 5),
            *_layer(64, 32, 3),
            *_layer(32, 16, 3),
            nn.MaxPool2d(2),
        )
        self.hidden = nn.Sequential(nn.Linear(16 * FULL_WIDTH, width), nn.ReLU(inplace=True))
        self.last = nn.Sequential(nn.Linear(width, FULL_WIDTH), nn.ReLU(inplace=True))

    def forward(self, x_N3HW: Tensor) -> Tensor:
        """Metres."""
        depth_NP: Tensor = self.last(self.hidden(self.features(x_N3HW).flatten(1)))
        return depth_NP.view(-1, 1, *LABEL_PX)


def _layer(channels_in: int, channels_out: int, kernel: int) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(channels_in, channels_out, kernel, padding=kernel // 2)
    return convolution, nn.ReLU(inplace=True), nn.BatchNorm2d(channels_out)
