"""The stages around a network, in ONNX: from the camera's frame to depth in metres at the frame's size.

The twin of `mde_train.depth_model`; a property test holds the two together. The order, and why:
cast first (TensorRT takes uint8 only where the first operator is a cast), layout and colour, padding of the frame,
resize, normalise, place (a fill of zero is 0 to the network, as a convolution's own; a level is normalised as well),
the network, scale and shift in the network's own quantity, the count of non-finite values (before anything could hide
one), its kind to metres and back to the frame's size (in the order of `inversion`), clip last.
Nodes of the stages are named `to_network/...` and `from_network/...`; the rest is the network.
Shapes: N frames; H, W the frame's size; h, w the network's input or map; C colours.
"""

import math
from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from mde_export.graph.geometry import Size, cut, pad, resize, resize_levels
from mde_export.graph.ops import Ops
from mde_runtime.contract import Contract, FromNetwork
from mde_runtime.errors import BadInputError

FRAME, DEPTH, NUM_NONFINITE, QUANTITY = "frame", "depth_m", "num_nonfinite", "quantity"
Stage = Callable[[Ops, ir.Value, Contract], ir.Value]

PIXELS, MAP = "pixels", "map"  # between the stages, where they stand alone
TO_NETWORK, FROM_NETWORK = "to_network", "from_network"


def check_metric(contract: Contract) -> None:
    """Raises BadInputError when depth cannot be metric."""
    if not contract.from_network.is_metric:
        raise BadInputError(
            "this network gives relative depth without a scale; fit scale and shift to measured distances first: "
            "mde-export MODEL --measured FILE"
        )


def is_stage(name: str | None) -> bool:
    """Whether a node of this name is a stage, and not the network's."""
    return name is not None and name.startswith((f"{TO_NETWORK}/", f"{FROM_NETWORK}/"))


def cast(ops: Ops, frame: ir.Value, _: Contract) -> ir.Value:
    """uint8 to float32, 0 to 255."""
    return ops("Cast", [frame], "cast", {"to": int(ir.DataType.FLOAT)})


def to_colour_planes(ops: Ops, pixels_NHWC: ir.Value, contract: Contract) -> ir.Value:  # noqa: N803  # shape suffix
    """(N, H, W, C) in the camera's order to (N, C, H, W) in red, green, blue."""
    planes = ops("Transpose", [pixels_NHWC], "transpose", {"perm": [0, 3, 1, 2]})
    if contract.source.colour == "rgb":
        return planes
    return ops("Gather", [planes, ops.int64s([2, 1, 0], "rgb_of_bgr")], "swap_red_and_blue", {"axis": 1})


def pad_frame(ops: Ops, pixels: ir.Value, contract: Contract) -> ir.Value:
    """Put pad_px around the frame, before it is resized."""
    to_network = contract.to_network
    top, left, bottom, right = to_network.pad_px
    rows, columns = (top, bottom), (left, right)
    if not any(to_network.pad_px):
        return pixels
    if to_network.padding == "zero":
        mean = ops.constant(
            np.array(to_network.mean, np.float32).reshape(1, 3, 1, 1) / np.float32(to_network.scale), "mean"
        )
        centred = ops("Sub", [pixels, mean], "centre")
        return ops("Add", [pad(ops, centred, rows, columns, "constant", "pad_frame"), mean], "uncentre")
    if isinstance(to_network.padding, str):
        return pad(ops, pixels, rows, columns, to_network.padding, "pad_frame")
    return pad(ops, pixels, rows, columns, "constant", "pad_frame", to_network.padding)


def resize_to_network(ops: Ops, pixels: ir.Value, contract: Contract) -> ir.Value:
    """The padded frame to the size at which it lies in the network's input."""
    to_network, placed = contract.to_network, contract.placement
    size_in, size_out = contract.padded_size, (placed.height_px, placed.width_px)
    if to_network.rounding == "uint8":
        return resize_levels(ops, pixels, size_in, size_out, to_network.interpolation, "resize")
    return resize(ops, pixels, size_in, size_out, to_network, "resize")


def normalise(ops: Ops, pixels: ir.Value, contract: Contract) -> ir.Value:
    """(pixel * scale - mean) / std, as one multiplication and, where there is a mean, one addition."""
    to_network = contract.to_network
    std = np.array(to_network.std)
    factor = (to_network.scale / std).reshape(1, 3, 1, 1).astype(np.float32)
    normal = ops("Mul", [pixels, ops.constant(factor, "factor")], "scale")
    if not any(to_network.mean):
        return normal
    offset = (-np.array(to_network.mean) / std).reshape(1, 3, 1, 1).astype(np.float32)
    return ops("Add", [normal, ops.constant(offset, "offset")], "subtract_mean")


def place(ops: Ops, pixels: ir.Value, contract: Contract) -> ir.Value:
    """Put the frame where it lies in the network's input: filled around it, or what juts out cut off."""
    to_network, placed = contract.to_network, contract.placement
    rows = (placed.top_px, to_network.height_px - placed.height_px - placed.top_px)
    columns = (placed.left_px, to_network.width_px - placed.width_px - placed.left_px)
    inside = cut(ops, pixels, (placed.height_px, placed.width_px), rows, columns, "cut")
    level = None if isinstance(to_network.fill, str) else to_network.fill
    return pad(ops, inside, rows, columns, "constant", "pad", level)


def before_network(contract: Contract) -> tuple[Stage, ...]:
    """The stages before a network, in order. A fill that is a level is normalised with the rest, and zero is not."""
    last = (normalise, place) if contract.to_network.fill == "zero" else (place, normalise)
    return (cast, to_colour_planes, pad_frame, resize_to_network, *last)


def scale_and_shift(ops: Ops, quantity: ir.Value, from_network: FromNetwork) -> ir.Value:
    """Calibrate the network's own quantity."""
    if from_network.scale != 1.0:
        quantity = ops("Mul", [quantity, ops.floats(from_network.scale, "scale")], "calibrate_scale")
    if from_network.shift != 0.0:
        quantity = ops("Add", [quantity, ops.floats(from_network.shift, "shift")], "calibrate_shift")
    return quantity


def count_nonfinite(ops: Ops, quantity: ir.Value, map_size: Size) -> ir.Value:
    """How many values of each frame's map are NaN or Inf, int32 (N,).

    All of them less those with |q| <= the largest float32. No compiler can drop that comparison as always true, as it
    may with IsNaN or x == x where it assumes finite numbers, and a NaN compares false in every runtime.
    """
    magnitude = ops("Abs", [quantity], "magnitude")
    largest = ops.floats(float(np.finfo(np.float32).max), "largest_float32")
    is_finite = ops("LessOrEqual", [magnitude, largest], "is_finite")
    as_number = ops("Cast", [is_finite], "finite_as_number", {"to": int(ir.DataType.INT32)})
    axes = ops.int64s([1, 2, 3], "all_but_frames")
    num_finite = ops("ReduceSum", [as_number, axes], "num_finite", {"keepdims": 0})
    total = ops.constant(np.int32(map_size[0] * map_size[1]), "num_values")
    return ops("Sub", [total, num_finite], "num_nonfinite")


def to_metres(ops: Ops, quantity: ir.Value, from_network: FromNetwork) -> ir.Value:
    """The calibrated quantity to metres, not yet clipped.

    Inverse depth is held at 1 / far or more, since at 0 it is beyond every range; log depth at log(far) or less, since
    exp overflows from 89 on, and a resize would spread the infinity.
    """
    if from_network.kind == "metric_depth":
        return quantity
    if from_network.kind == "log_depth":
        held = ops("Min", [quantity, ops.floats(math.log(from_network.far_m), "largest_log_depth")], "hold_log_depth")
        return ops("Exp", [held], "exponentiate")
    held = ops("Max", [quantity, ops.floats(1.0 / from_network.far_m, "least_inverse_depth")], "hold_inverse_depth")
    return ops("Reciprocal", [held], "invert")


def to_source_size(ops: Ops, depth: ir.Value, map_size: Size, contract: Contract) -> ir.Value:
    """The map to the frame's own size.

    With via_input first to the size of the part of the network's input that it covers, and cut to the padded frame
    (where that goes on beyond the map, its border value goes on); then to the padded frame's size, whose padding is cut
    off. Steps that change nothing are left out: where the frame was only padded, a cut is all that remains.
    """
    padded, (pad_top, pad_left, pad_bottom, pad_right) = contract.padded_size, contract.to_network.pad_px
    if contract.from_network.via_input:
        depth, map_size = _on_padded_frame(ops, depth, map_size, contract)
    depth = resize(ops, depth, map_size, padded, contract.from_network, "resize_to_frame")
    return cut(ops, depth, padded, (-pad_top, -pad_bottom), (-pad_left, -pad_right), "cut_padding")


def _on_padded_frame(ops: Ops, depth: ir.Value, map_size: Size, contract: Contract) -> tuple[ir.Value, Size]:
    """The map of what the padded frame became in the network's input, and its size."""
    from_network, placed = contract.from_network, contract.placement
    top, left, bottom, right = from_network.covers
    covered = (bottom - top, right - left)
    depth = resize(ops, depth, map_size, covered, from_network, "resize_to_input")
    rows = (top - placed.top_px, placed.top_px + placed.height_px - bottom)
    columns = (left - placed.left_px, placed.left_px + placed.width_px - right)
    depth = cut(ops, depth, covered, rows, columns, "cut_to_frame")
    return pad(ops, depth, rows, columns, "edge", "go_on_to_frame"), (placed.height_px, placed.width_px)


def clip(ops: Ops, depth: ir.Value, from_network: FromNetwork) -> ir.Value:
    """Hold depth in the contract's range, metres. After the count, which it would hide values from."""
    near, far = ops.floats(from_network.near_m, "near_m"), ops.floats(from_network.far_m, "far_m")
    return ops("Clip", [depth, near, far], "clip")


def blank_unseen(ops: Ops, depth: ir.Value, contract: Contract) -> ir.Value:
    """0, no measurement, where the map does not cover the centre of the frame's pixel."""
    (above, below), (left, right) = rows, columns = unseen_sides(contract)
    size = (contract.source.height_px, contract.source.width_px)
    depth = cut(ops, depth, size, (-above, -below), (-left, -right), "cut_unseen")
    return pad(ops, depth, rows, columns, "constant", "blank_unseen")


def unseen_sides(contract: Contract) -> tuple[Size, Size]:
    """How many of the frame's rows (top, bottom) and columns (left, right) the map does not cover."""
    rows, columns = contract.seen
    return (rows.start, contract.source.height_px - rows.stop), (columns.start, contract.source.width_px - columns.stop)
