"""Paired augmentation, drawn per sample, on tensors: a whole batch at once, on whatever device it lies.

The geometry is the same for frame and depth. Everything random comes from the generator that is handed in.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from mde_train.recipe import NOTHING, Augment

HAZE_LIGHT = 0.85  # haze is about as light as the sky: this share of a frame's lightest value
DARKEST = 0.0255  # of 255: what gamma takes for black
UNZOOMED = 0.3  # the share of frames that keep their size: those that a network is judged by have theirs
CLEARLY_NEARER = 0.85  # of the depth behind: two frames' ground is as far in both, and stays one frame's


def augmented(
    frames: Tensor, depth_m: Tensor, valid: Tensor, how: Augment, chance: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Frames float32 (N, 3, H, W) 0..255, depth_m float32 and valid bool (N, 1, H, W), changed.

    The draws are made on the CPU, in one fixed order, whatever is switched off: so that they are the same on any device
    and a changed setting changes nothing else.
    """
    if how == NOTHING:
        return frames, depth_m, valid
    draws = torch.rand(len(frames), 12, generator=chance).to(frames.device)
    frames, depth_m, valid = _moved(frames, depth_m, valid, how, draws[:, :3])
    frames, depth_m = _mixed(frames, depth_m, valid, how, draws[:, 11])
    return _recoloured(frames, depth_m, how, draws[:, 3:11]), depth_m, valid


def _moved(
    frames: Tensor, depth_m: Tensor, valid: Tensor, how: Augment, draws: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Mirror, and zoom about a point on the middle row, where a level camera's horizon stays; z becomes z / zoom."""
    if how.flip == 0 and how.zoom == 1:
        return frames, depth_m, valid
    sign = torch.where(draws[:, 0] < how.flip, -1.0, 1.0)
    zoom = 1 + (how.zoom - 1) * ((draws[:, 1] - UNZOOMED) / (1 - UNZOOMED)).clamp(min=0)
    room = 1 - 1 / zoom  # how far the middle column can move, in halves of the width
    _, _, height, width = frames.shape
    x, y = (_centres(side).to(frames.device) for side in (width, height))
    grid = torch.empty(len(frames), height, width, 2, device=frames.device)  # F.affine_grid takes six times as long
    grid[..., 0] = (x * (sign / zoom).view(-1, 1) + (room * (2 * draws[:, 2] - 1)).view(-1, 1))[:, None, :]
    grid[..., 1] = (y / zoom.view(-1, 1))[:, :, None]
    depth_and_valid = torch.cat((depth_m, valid.to(depth_m.dtype)), dim=1)
    frames = F.grid_sample(frames.contiguous(), grid, mode="bilinear", padding_mode="border", align_corners=False)
    # nearest: between a pole and the sky there is no depth in the middle
    depth_m, seen = F.grid_sample(
        depth_and_valid, grid, mode="nearest", padding_mode="border", align_corners=False
    ).chunk(2, dim=1)
    return frames, depth_m / zoom.view(-1, 1, 1, 1), seen > 0.5


def _mixed(frames: Tensor, depth_m: Tensor, valid: Tensor, how: Augment, draws: Tensor) -> tuple[Tensor, Tensor]:
    """Put what is clearly nearer in the batch's next frame before a frame, as if both were one place.

    Things then hide others that they never hid: DepthMix of Hoyer et al., CVPR 2021, there between classes.
    """
    if how.mix == 0:
        return frames, depth_m
    others, other_m, is_other_valid = (values.roll(-1, dims=0) for values in (frames, depth_m, valid))
    is_nearer = valid & is_other_valid & (other_m < CLEARLY_NEARER * depth_m) & (draws < how.mix).view(-1, 1, 1, 1)
    return torch.where(is_nearer, others, frames), torch.where(is_nearer, other_m, depth_m)


def _recoloured(frames: Tensor, depth_m: Tensor, how: Augment, draws: Tensor) -> Tensor:
    """Haze, gamma, saturation, then contrast, brightness and colour as one factor and one offset for each colour.

    Frames stay 0..255 throughout and are changed in place after the first copy: a step spends most of the time that it
    has for this on moving frames through memory.
    """
    around = (2 * draws - 1).view(len(draws), -1, 1, 1)  # -1 to 1
    exponent = (1 + how.gamma) ** around[:, 0:1]
    contrast, brightness = 1 + how.contrast * around[:, 1:2], 1 + how.brightness * around[:, 2:3]
    colour = 1 + how.colour * around[:, 3:6]
    x = frames.clone(memory_format=torch.contiguous_format)
    if how.haze:
        light = HAZE_LIGHT * x.amax(dim=(1, 2, 3), keepdim=True)
        through = torch.exp(-how.haze * draws[:, 6].view(-1, 1, 1, 1).square() * depth_m)
        x = torch.lerp(light, x, through)
    if how.gamma:
        x.clamp_(min=DARKEST).log2_().mul_(exponent).exp2_()  # in two thirds of the time of pow_
    if how.saturation:
        grey = x.mean(dim=1, keepdim=True)
        x.sub_(grey).mul_((1 + how.saturation) ** around[:, 7:8]).add_(grey)
    unit = 255 ** (1 - exponent)  # 255 (x / 255)^e = 255^(1 - e) x^e
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    x.mul_(unit * contrast * colour).add_(unit * mean * (brightness - contrast) * colour)
    return x.clamp_(0, 255)


def _centres(side_px: int) -> Tensor:
    """The pixels' centres from -1, one border, to 1, the other."""
    return (2 * torch.arange(side_px) + 1) / side_px - 1
