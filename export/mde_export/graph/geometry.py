"""Resizing, cutting and padding (N, C, H, W) maps in ONNX, as PyTorch does. What changes nothing adds nothing."""

import numpy as np
import onnx_ir as ir

from mde_export.graph.ops import Ops
from mde_runtime.contract import MAX_LEVEL, FromNetwork, Interpolation, ToNetwork
from mde_runtime.resampling import antialiased_matrix, level_matrix

ROWS, COLUMNS = 2, 3  # axes of an NCHW tensor

Size = tuple[int, int]  # height, width; px


def resize(
    ops: Ops, maps: ir.Value, size_in: Size, size_out: Size, how: ToNetwork | FromNetwork, name: str
) -> ir.Value:
    """(N, C, *size_in) to (N, C, *size_out), as torch.nn.functional.interpolate does.

    With antialias two constant matrices: OpenVINO ignores the antialias attribute of Resize without a word, and ONNX
    Runtime's kernel differs from PyTorch's.
    """
    if size_in == size_out:
        return maps
    if how.antialias:
        rows, columns = (antialiased_matrix(*sides, how.interpolation) for sides in zip(size_in, size_out, strict=True))
        tall = ops("MatMul", [ops.constant(rows, f"{name}_rows_matrix"), maps], f"{name}_rows")
        return ops("MatMul", [tall, ops.constant(columns.T, f"{name}_columns_matrix")], f"{name}_columns")
    scales = [1.0, 1.0, *(_scale(*sides) for sides in zip(size_in, size_out, strict=True))]
    attributes = {
        "mode": {"bilinear": "linear", "bicubic": "cubic"}[how.interpolation],
        "coordinate_transformation_mode": "align_corners" if how.align_corners else "half_pixel",
        "cubic_coeff_a": -0.75,  # PyTorch's, and ONNX's default; written down because runtimes' defaults differ
    }
    return ops("Resize", [maps, None, ops.floats(scales, f"{name}_scales")], name, attributes)


def resize_levels(
    ops: Ops, pixels: ir.Value, size_in: Size, size_out: Size, interpolation: Interpolation, name: str
) -> ir.Value:
    """(N, C, *size_in) of levels 0 to 255 to (N, C, *size_out) of whole ones: columns first, both passes rounded."""
    if size_in[1] != size_out[1]:
        columns = level_matrix(size_in[1], size_out[1], interpolation).T
        pixels = ops("MatMul", [pixels, ops.constant(columns, f"{name}_columns_matrix")], f"{name}_columns")
        pixels = _whole_levels(ops, pixels, f"{name}_columns")
    if size_in[0] != size_out[0]:
        rows = level_matrix(size_in[0], size_out[0], interpolation)
        pixels = ops("MatMul", [ops.constant(rows, f"{name}_rows_matrix"), pixels], f"{name}_rows")
        pixels = _whole_levels(ops, pixels, f"{name}_rows")
    return pixels


def _whole_levels(ops: Ops, pixels: ir.Value, name: str) -> ir.Value:
    half = ops("Add", [pixels, ops.floats(0.5, f"{name}_half")], f"{name}_add_half")
    whole = ops("Floor", [half], f"{name}_whole")
    bounds = (ops.floats(0.0, f"{name}_darkest"), ops.floats(float(MAX_LEVEL), f"{name}_brightest"))
    return ops("Clip", [whole, *bounds], f"{name}_in_range")


def _scale(side_in: int, side_out: int) -> float:
    """side_out / side_in as float32, rounded up where floor(side_in * scale), ONNX's size, would fall short."""
    scale = np.float32(side_out / side_in)
    while side_in * float(scale) < side_out:  # in float64, as onnx infers shapes
        scale = np.nextafter(scale, np.float32(np.inf))
    return float(scale)


def cut(ops: Ops, maps: ir.Value, size: Size, rows: Size, columns: Size, name: str) -> ir.Value:
    """Take away as many rows (top, bottom) and columns (left, right) as are negative."""
    starts, ends, axes = [], [], []
    for axis, side, (before, after) in ((ROWS, size[0], rows), (COLUMNS, size[1], columns)):
        if min(before, after) < 0:
            axes.append(axis)
            starts.append(max(0, -before))
            ends.append(side + min(0, after))
    if not axes:
        return maps
    bounds = [
        ops.int64s(values, f"{name}_{what}") for values, what in ((starts, "starts"), (ends, "ends"), (axes, "axes"))
    ]
    return ops("Slice", [maps, *bounds], name)


def pad(
    ops: Ops, maps: ir.Value, rows: Size, columns: Size, mode: str, name: str, level: float | None = None
) -> ir.Value:
    """Add as many rows (top, bottom) and columns (left, right) as are positive. level: of `constant`; None is 0."""
    pads = [0, 0, max(0, rows[0]), max(0, columns[0]), 0, 0, max(0, rows[1]), max(0, columns[1])]
    if not any(pads):
        return maps
    value = [] if level is None else [ops.floats(level, f"{name}_level")]
    return ops("Pad", [maps, ops.int64s(pads, f"{name}_pads"), *value], name, {"mode": mode})
