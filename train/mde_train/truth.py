"""The truth as the network's output is compared with it."""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from mde_runtime.contract import Contract
from mde_train.depth_model import metres, on_frame


def compared(
    quantity_N1hw: Tensor, depth_m: Tensor, valid: Tensor, contract: Contract, *, mask_sky: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """A network's output and the truth of the same frames (N, 1, H, W) as depth, truth and valid of one size.

    At the size of the placed frame. A map that is smaller than what it covers is compared at its own size instead, with
    the truth at its pixels' centres, as small labels are made.
    """
    predicted_m = metres(quantity_N1hw, contract.from_network)
    truth_m, truth_valid = placed_truth(depth_m, valid, contract, mask_sky=mask_sky)
    size = tuple(predicted_m.shape[-2:])
    if is_small_label(size, contract):
        at_centres = partial(F.interpolate, size=size, mode="nearest-exact")
        return predicted_m, at_centres(truth_m), at_centres(truth_valid.float()) > 0.5
    return on_frame(predicted_m, contract), truth_m, truth_valid


def is_small_label(size: tuple[int, ...], contract: Contract) -> bool:
    """Whether a map of that size is smaller than the placed frame that it covers, all of it."""
    placed = contract.placement
    covers_it = contract.from_network.covers == (
        placed.top_px,
        placed.left_px,
        placed.top_px + placed.height_px,
        placed.left_px + placed.width_px,
    )
    return covers_it and size[0] < placed.height_px and size[1] < placed.width_px


def placed_truth(depth_m: Tensor, valid: Tensor, contract: Contract, *, mask_sky: bool) -> tuple[Tensor, Tensor]:
    """Depth float32 and valid bool, both (N, 1, H, W), to the size of `mde_train.depth_model.on_frame`'s map.

    Depth is clipped to the contract's range first, then resized as the output is brought back. A resized pixel is valid
    where all that it is made of is. mask_sky: what is at far or beyond is not valid; else it counts as far.
    """
    from_network, placed = contract.from_network, contract.placement
    size = (placed.height_px, placed.width_px)
    if mask_sky:
        valid = valid & (depth_m < from_network.far_m)
    depth_m = depth_m.clamp(from_network.near_m, from_network.far_m)
    if tuple(depth_m.shape[-2:]) != size:
        depth_m = F.interpolate(depth_m, size, mode="bilinear", align_corners=False, antialias=from_network.antialias)
        share = F.interpolate(
            valid.float(), size, mode="bilinear", align_corners=False, antialias=from_network.antialias
        )
        valid = share > 1 - 1e-4  # rounding: the weights of a pixel sum to 1 within float32
    return depth_m, valid & _covered(contract, valid.device)


def _covered(contract: Contract, device: torch.device) -> Tensor:
    """Which pixels of the placed frame the network's output covers, bool (height, width)."""
    placed = contract.placement
    top, left, bottom, right = contract.from_network.covers
    covered = torch.zeros(placed.height_px, placed.width_px, dtype=torch.bool, device=device)
    covered[
        max(0, top - placed.top_px) : max(0, bottom - placed.top_px),
        max(0, left - placed.left_px) : max(0, right - placed.left_px),
    ] = True
    return covered
