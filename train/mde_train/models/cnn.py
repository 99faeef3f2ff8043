"""`cnn`: `cnn-trans` without its third pooling and its transposed convolution; it stays at a quarter of the size.

394,741 parameters. The slides do not say what their "CNN" is: this reading follows from the sizes.
Source: slides of the Industrial University of Ho Chi Minh City, 2022, and the code that they descend from.
"""

from torch import nn

from mde_runtime.contract import Contract
from mde_train.models.cnn_trans import head, plain_contract, seven_convolutions


def contract(height_px: int, width_px: int) -> Contract:
    """Frames at 228x304, [0, 1]; metres, 0 to 10."""
    return plain_contract(height_px, width_px)


def build() -> nn.Module:
    """The network with fresh weights: (N, 3, 228, 304) to (N, 1, 57, 76), metres, 0 and more."""
    return nn.Sequential(*seven_convolutions(pool_after=(4, 5)), *head())
