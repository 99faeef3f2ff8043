"""A head's end that reaches both ends of the depth range exactly, and still learns there."""

from typing import Any

import torch
from torch import Tensor, nn

from mde_runtime.contract import MAX_FAR_M
from mde_runtime.errors import UsageError


class ExactRange(nn.Module):
    """Clamp to [near_m, far_m]. A linear map in between, so unlike with a sigmoid the far sky is far_m, not almost.

    While training, a value beyond an end keeps the gradient that would bring it back and loses the one that would
    drive it further out; a plain clamp would lose both and the pixel would be stuck.
    """

    def __init__(self, near_m: float, far_m: float):
        super().__init__()
        if not 0 <= near_m < far_m <= MAX_FAR_M:
            raise UsageError(f"a range from {near_m:g} to {far_m:g} m; give 0 <= near_m < far_m <= {MAX_FAR_M:g}")
        self.near_m, self.far_m = near_m, far_m

    def forward(self, depth_m: Tensor) -> Tensor:
        """Same shape, metres."""
        if self.training:
            clamped: Tensor = _InwardClamp.apply(depth_m, self.near_m, self.far_m)  # type: ignore[no-untyped-call]  # torch's own
            return clamped
        return depth_m.clamp(self.near_m, self.far_m)

    def from_units(self, units: Tensor) -> Tensor:
        """Depth from a head's own numbers: fresh weights, about 0 ± 1, start mid-range and within it."""
        middle_m, unit_m = (self.near_m + self.far_m) / 2, (self.far_m - self.near_m) / 5
        depth_m: Tensor = self(middle_m + unit_m * units)
        return depth_m


class _InwardClamp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, depth_m: Tensor, near_m: float, far_m: float) -> Tensor:  # Any: torch types no context
        ctx.save_for_backward(depth_m < near_m, depth_m > far_m)
        return depth_m.clamp(near_m, far_m)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = gradients
        below, above = ctx.saved_tensors
        outward = (below & (gradient > 0)) | (above & (gradient < 0))  # a step goes against the gradient
        return gradient.masked_fill(outward, 0.0), None, None
