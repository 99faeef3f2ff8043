"""Paired augmentation, drawn per sample, on tensors: a whole batch at once, on whatever device it lies.

The geometry is the same for frame and depth. Everything random comes from the generator that is handed in.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from mde_train.recipe import NOTHING, Augment


def augmented(
    frames: Tensor, depth_m: Tensor, valid: Tensor, how: Augment, chance: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Frames float32 (N, 3, H, W) 0..255, depth_m float32 and valid bool (N, 1, H, W), changed.

    The draws are made on the CPU, in one fixed order, whatever is switched off: so that they are the same on any device
    and a changed setting changes nothing else.
    """
    if how == NOTHING:
        return frames, depth_m, valid
    draws = torch.rand(len(frames), 10, generator=chance).to(frames.device)
    frames, depth_m, valid = _moved(frames, depth_m, valid, how, draws[:, :3])
    return _recoloured(frames, depth_m, how, draws[:, 3:]), depth_m, valid


def _moved(
    frames: Tensor, depth_m: Tensor, valid: Tensor, how: Augment, draws: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Mirror, and zoom about a point on the middle row, where a level camera's horizon stays; z becomes z / zoom."""
    if how.flip == 0 and how.zoom == 1:
        return frames, depth_m, valid
    sign = torch.where(draws[:, 0] < how.flip, -1.0, 1.0)
    zoom = 1 + (how.zoom - 1) * draws[:, 1]
    room = 1 - 1 / zoom  # how far the middle column can move, in halves of the width
    transform = torch.zeros(len(frames), 2, 3, device=frames.device)
    transform[:, 0, 0], transform[:, 1, 1] = sign / zoom, 1 / zoom
    transform[:, 0, 2] = room * (2 * draws[:, 2] - 1)
    grid = F.affine_grid(transform, list(frames.shape), align_corners=False)
    depth_and_valid = torch.cat((depth_m, valid.to(depth_m.dtype)), dim=1)
    frames = F.grid_sample(frames, grid, mode="bilinear", padding_mode="border", align_corners=False)
    # nearest: between a pole and the sky there is no depth in the middle
    depth_m, seen = F.grid_sample(
        depth_and_valid, grid, mode="nearest", padding_mode="border", align_corners=False
    ).chunk(2, dim=1)
    return frames, depth_m / zoom.view(-1, 1, 1, 1), seen > 0.5


def _recoloured(frames: Tensor, depth_m: Tensor, how: Augment, draws: Tensor) -> Tensor:
    around = (2 * draws - 1).view(len(draws), -1, 1, 1)  # -1 to 1
    x = frames / 255
    if how.haze:
        through = torch.exp(-how.haze * draws[:, 6].view(-1, 1, 1, 1).square() * depth_m)
        x = (
            x * through + (1 - through) * x.amax(dim=(1, 2, 3), keepdim=True) * 0.85
        )  # haze is about as light as the sky
    if how.gamma:
        x = x.clamp(min=1e-4) ** ((1 + how.gamma) ** around[:, 0:1])
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    x = (x - mean) * (1 + how.contrast * around[:, 1:2]) + mean * (1 + how.brightness * around[:, 2:3])
    x = x * (1 + how.colour * around[:, 3:6])
    return x.clamp(0, 1) * 255
