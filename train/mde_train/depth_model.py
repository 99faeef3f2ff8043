"""The stages around a network, in PyTorch: from the camera's frame to depth in metres at the frame's size.

The reference of every certificate; its one twin is `mde_export.graph.stages`. Training uses the same functions, so no
model ever sees a frame that was prepared otherwise than its contract says.
Shapes: N frames; H, W the frame's size; h, w the network's input; C colours.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mde_runtime.contract import Contract, FromNetwork, Interpolation
from mde_runtime.errors import BadInputError


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
        depth_N1HW, seen_HW = to_source_size(metres(quantity_N1hw, from_network), self.contract)
        clipped_N1HW = depth_N1HW.clamp(from_network.near_m, from_network.far_m)
        return torch.where(seen_HW, clipped_N1HW, 0.0).squeeze(1), num_nonfinite


def network_input(frames_NHWC: Tensor, contract: Contract) -> Tensor:
    """Frames, uint8 or float 0..255, (N, H, W, 3) in the contract's colour order, to the network's (N, 3, h, w)."""
    to_network, placed = contract.to_network, contract.placement
    pixels_NCHW = frames_NHWC.float().permute(0, 3, 1, 2)
    if contract.source.colour == "bgr":
        pixels_NCHW = pixels_NCHW.flip(1)
    pixels_NCHW = _resize(
        pixels_NCHW, placed.height_px, placed.width_px, to_network.interpolation, to_network.antialias
    )
    mean, std = (
        torch.tensor(values, device=pixels_NCHW.device).view(1, 3, 1, 1) for values in (to_network.mean, to_network.std)
    )
    normal_NCHW = (pixels_NCHW * to_network.scale - mean) / std
    rows = (placed.top_px, to_network.height_px - placed.height_px - placed.top_px)
    columns = (placed.left_px, to_network.width_px - placed.width_px - placed.left_px)
    return F.pad(normal_NCHW, (*columns, *rows))  # a negative pad cuts off: the crop policy


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
    covering = _resize(maps_N1hw, bottom - top, right - left, from_network.interpolation, from_network.antialias)
    rows = (top - placed.top_px, placed.top_px + placed.height_px - bottom)
    columns = (left - placed.left_px, placed.left_px + placed.width_px - right)
    cut = F.pad(covering, tuple(min(0, side) for side in (*columns, *rows)))
    beyond = tuple(max(0, side) for side in (*columns, *rows))
    return F.pad(cut, beyond, mode="replicate") if any(beyond) else cut


def to_source_size(maps_N1hw: Tensor, contract: Contract) -> tuple[Tensor, Tensor]:
    """The network's map at the frame's own size, (N, 1, H, W), and which pixels it has seen, bool (H, W)."""
    source, from_network = contract.source, contract.from_network
    maps_N1HW = _resize(
        on_frame(maps_N1hw, contract),
        source.height_px,
        source.width_px,
        from_network.interpolation,
        from_network.antialias,
    )
    seen_HW = torch.zeros(source.height_px, source.width_px, dtype=torch.bool, device=maps_N1hw.device)
    seen_HW[contract.seen] = True
    return maps_N1HW, seen_HW


def _resize(maps: Tensor, height: int, width: int, interpolation: Interpolation, antialias: bool) -> Tensor:
    if tuple(maps.shape[-2:]) == (height, width):
        return maps
    return F.interpolate(maps, (height, width), mode=interpolation, align_corners=False, antialias=antialias)
