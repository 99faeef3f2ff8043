"""Means over the valid pixels."""

from torch import Tensor


def masked_mean(values: Tensor, valid: Tensor) -> Tensor:
    """The mean of (N, 1, h, w) values over all valid pixels of the batch; 0 where there are none."""
    return values.where(valid, 0.0).sum() / valid.sum().clamp(min=1)


def masked_mean_per_frame(values: Tensor, valid: Tensor) -> Tensor:
    """The mean over the valid pixels of each frame, (N,); 0 for a frame without any."""
    return values.where(valid, 0.0).sum(dim=(1, 2, 3)) / valid.sum(dim=(1, 2, 3)).clamp(min=1)
