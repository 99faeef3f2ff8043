"""The stages around a network, in PyTorch: from the camera's frame to depth in metres at the frame's size.

The reference of every certificate; its one twin is `mde_export.graph.stages`. Training uses the same functions, so no
model ever sees a frame that was prepared otherwise than its contract says.
Shapes: N frames; H, W the frame's size; h, w the network's input; C colours.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mde_runtime.contract import MAX_LEVEL, Contract, FromNetwork, Interpolation, ToNetwork
from mde_runtime.errors import BadInputError
from mde_runtime.resampling import antialiased_matrix, level_matrix

PADDING_MODES = {"reflect": "reflect", "edge": "replicate"}  # the contract's words in PyTorch's


class DepthModel(nn.Module):
    """A network with its stages: uint8 frames in, metres out. Raises BadInputError when depth cannot be metric."""

    def __init__(self, network: nn.Module, contract: Contract):
        super().__init__()
        if not contract.from_network.is_metric:
            raise BadInputError(
                "this network gives relative depth without a scale; fit scale and shift to measured distances first: "
                "mde-export MODEL --measured FILE"
            )
        self.network, self.contract = network, contract

    def forward(self, frames_NHWC: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 (N, H, W, 3) to depth_m float32 (N, H, W) and num_nonfinite int32 (N,).

        num_nonfinite counts the NaN and Inf of the network's quantity, after scale and shift, before the clip.
        """
        output = self.network(network_input(frames_NHWC, self.contract)).float()
        quantity_N1hw = output if output.ndim == 4 else output.unsqueeze(1)
        from_network = self.contract.from_network
        quantity_N1hw = quantity_N1hw * from_network.scale + from_network.shift
        num_nonfinite = (~torch.isfinite(quantity_N1hw)).sum(dim=(1, 2, 3), dtype=torch.int32)
        if from_network.inversion == "before_resize":
            depth_N1HW, seen_HW = to_source_size(metres(quantity_N1hw, from_network), self.contract)
        else:
            quantity_N1HW, seen_HW = to_source_size(quantity_N1hw, self.contract)
            depth_N1HW = metres(quantity_N1HW, from_network)
        clipped_N1HW = depth_N1HW.clamp(from_network.near_m, from_network.far_m)
        return torch.where(seen_HW, clipped_N1HW, 0.0).squeeze(1), num_nonfinite


def network_input(frames_NHWC: Tensor, contract: Contract) -> Tensor:
    """Frames, uint8 or float 0..255, (N, H, W, 3) in the contract's colour order, to the network's (N, 3, h, w)."""
    to_network, placed = contract.to_network, contract.placement
    pixels_NCHW = frames_NHWC.float().permute(0, 3, 1, 2)
    if contract.source.colour == "bgr":
        pixels_NCHW = pixels_NCHW.flip(1)
    mean, std = (
        torch.tensor(values, device=pixels_NCHW.device).view(1, 3, 1, 1) for values in (to_network.mean, to_network.std)
    )
    pixels_NCHW = _padded(pixels_NCHW, to_network, mean / to_network.scale)
    if to_network.rounding == "uint8":
        pixels_NCHW = _resize_levels(pixels_NCHW, placed.height_px, placed.width_px, to_network.interpolation)
    else:
        pixels_NCHW = resized(pixels_NCHW, placed.height_px, placed.width_px, to_network)
    rows = (placed.top_px, to_network.height_px - placed.height_px - placed.top_px)
    columns = (placed.left_px, to_network.width_px - placed.width_px - placed.left_px)
    sides = (*columns, *rows)  # a negative pad cuts off: the crop policy
    if to_network.fill != "zero":
        return (F.pad(pixels_NCHW, sides, value=to_network.fill) * to_network.scale - mean) / std
    return F.pad((pixels_NCHW * to_network.scale - mean) / std, sides)


def _padded(pixels_NCHW: Tensor, to_network: ToNetwork, mean_level: Tensor) -> Tensor:
    """The frame with pad_px around it. mean_level: what becomes 0 in the normalisation."""
    top, left, bottom, right = to_network.pad_px
    if not any(to_network.pad_px):
        return pixels_NCHW
    sides = (left, right, top, bottom)
    if to_network.padding == "zero":
        return F.pad(pixels_NCHW - mean_level, sides) + mean_level
    if isinstance(to_network.padding, str):
        return F.pad(pixels_NCHW, sides, mode=PADDING_MODES[to_network.padding])
    return F.pad(pixels_NCHW, sides, value=to_network.padding)


def metres(quantity: Tensor, from_network: FromNetwork) -> Tensor:
    """The network's quantity, after scale and shift, to metres, not yet clipped.

    Inverse depth is held at 1 / far or more first: at 0 and below it is beyond every range, not behind the camera.
    Log depth is held at log(far) or less: exp overflows from 89 on, and a resize would spread the infinity.
    """
    if from_network.kind == "metric_depth":
        return quantity
    if from_network.kind == "log_depth":
        return quantity.clamp(max=math.log(from_network.far_m)).exp()
    return 1.0 / quantity.clamp(min=1.0 / from_network.far_m)


def on_frame(maps_N1hw: Tensor, contract: Contract) -> Tensor:
    """The network's map at the size of the placed frame, (N, 1, placement's height, width), still unclipped.

    The map is resized to the part of the input that it covers; what is outside the frame is cut off, and where the
    frame goes on beyond the map the map's border value goes on.
    """
    from_network, placed = contract.from_network, contract.placement
    top, left, bottom, right = from_network.covers
    covering = resized(maps_N1hw, bottom - top, right - left, from_network)
    rows = (top - placed.top_px, placed.top_px + placed.height_px - bottom)
    columns = (left - placed.left_px, placed.left_px + placed.width_px - right)
    cut = F.pad(covering, tuple(min(0, side) for side in (*columns, *rows)))
    beyond = tuple(max(0, side) for side in (*columns, *rows))
    return F.pad(cut, beyond, mode="replicate") if any(beyond) else cut


def to_source_size(maps_N1hw: Tensor, contract: Contract) -> tuple[Tensor, Tensor]:
    """The network's map at the frame's own size, (N, 1, H, W), and which pixels it has seen, bool (H, W)."""
    source, from_network = contract.source, contract.from_network
    pad_top, pad_left, _, _ = contract.to_network.pad_px
    placed_N1hw = on_frame(maps_N1hw, contract) if from_network.via_input else maps_N1hw
    padded = resized(placed_N1hw, *contract.padded_size, from_network)
    maps_N1HW = padded[..., pad_top : pad_top + source.height_px, pad_left : pad_left + source.width_px]
    seen_HW = torch.zeros(source.height_px, source.width_px, dtype=torch.bool, device=maps_N1hw.device)
    seen_HW[contract.seen] = True
    return maps_N1HW, seen_HW


def resized(maps: Tensor, height: int, width: int, how: ToNetwork | FromNetwork) -> Tensor:
    """(N, C, h, w) to (N, C, height, width), by the filter of a contract's side."""
    if tuple(maps.shape[-2:]) == (height, width):
        return maps
    if how.interpolation == "area":
        return averaged(maps, height, width)
    return F.interpolate(
        maps, (height, width), mode=how.interpolation, align_corners=how.align_corners, antialias=how.antialias
    )


def averaged(maps: Tensor, height: int, width: int) -> Tensor:
    """(N, C, h, w) to (N, C, height, width), the mean of what a pixel covers; PyTorch's `area` is of whole pixels."""
    rows, columns = (
        torch.from_numpy(antialiased_matrix(*sides, "area")).to(maps)
        for sides in zip(maps.shape[-2:], (height, width), strict=True)
    )
    return rows @ maps @ columns.T


def _resize_levels(pixels_NCHW: Tensor, height: int, width: int, interpolation: Interpolation) -> Tensor:
    """Columns, then rows, each rounded to whole levels. In float64, where no sum of them is rounded before."""
    levels = pixels_NCHW.double()
    if width != levels.shape[-1]:
        levels = _whole(levels @ _levels_of(levels.shape[-1], width, interpolation, levels).T)
    if height != levels.shape[-2]:
        levels = _whole(_levels_of(levels.shape[-2], height, interpolation, levels) @ levels)
    return levels.float()


def _levels_of(size_in: int, size_out: int, interpolation: Interpolation, like: Tensor) -> Tensor:
    return torch.from_numpy(level_matrix(size_in, size_out, interpolation)).to(like)


def _whole(levels: Tensor) -> Tensor:
    return (levels + 0.5).floor().clamp(0, MAX_LEVEL)
