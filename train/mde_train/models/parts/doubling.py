"""Upsampling that trains at speed."""

import torch
import torch.nn.functional as F
from torch import Tensor


def doubled(x: Tensor) -> Tensor:
    """(N, C, H, W) to (N, C, 2H, 2W), bilinear."""
    x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
    if x.requires_grad:  # a gradient that is a slice of a concatenation's takes the way back five times as long
        x.register_hook(_whole)  # type: ignore[no-untyped-call]  # torch's own
    return x


def _whole(gradient: Tensor) -> Tensor:
    return gradient.contiguous(memory_format=torch.channels_last)
