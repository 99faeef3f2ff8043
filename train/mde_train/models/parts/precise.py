"""The last convolutions of a network, in float32 while the rest trains in bfloat16.

Metres need them: from 16 m on bfloat16 knows only steps of 0.125 m, and the loss would see mostly those. In eval mode
these are the plain layers, so that an exported graph shows nothing of it.
"""

import torch
from torch import Tensor, nn


class PreciseConv2d(nn.Conv2d):
    """A convolution that autocast leaves alone."""

    def forward(self, input: Tensor) -> Tensor:
        """As nn.Conv2d."""
        if not self.training:
            return super().forward(input)
        with torch.autocast(input.device.type, enabled=False):
            return super().forward(input.float())


class PreciseConvTranspose2d(nn.ConvTranspose2d):
    """A transposed convolution that autocast leaves alone."""

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """As nn.ConvTranspose2d."""
        if not self.training:
            return super().forward(input, output_size)
        with torch.autocast(input.device.type, enabled=False):
            return super().forward(input.float(), output_size)
