"""Resizing, cutting and padding (N, C, H, W) maps in ONNX, as PyTorch does. What changes nothing adds nothing."""

import numpy as np
import onnx_ir as ir

from mde_export.graph.ops import Ops
from mde_runtime.contract import Interpolation
from mde_runtime.resampling import bicubic_matrix, bilinear_matrix

ROWS, COLUMNS = 2, 3  # axes of an NCHW tensor

Size = tuple[int, int]  # height, width; px


def resize(
    ops: Ops, maps: ir.Value, size_in: Size, size_out: Size, interpolation: Interpolation, antialias: bool, name: str
) -> ir.Value:
    """(N, C, *size_in) to (N, C, *size_out), as torch.nn.functional.interpolate(align_corners=False) does.

    With antialias two constant matrices: OpenVINO ignores the antialias attribute of Resize without a word, and ONNX
    Runtime's kernel differs from PyTorch's.
    """
    if size_in == size_out:
        return maps
    if antialias:
        rows, columns = (
            bilinear_matrix(*sides, True) if interpolation == "bilinear" else bicubic_matrix(*sides)
            for sides in zip(size_in, size_out, strict=True)
        )
        tall = ops("MatMul", [ops.constant(rows, f"{name}_rows_matrix"), maps], f"{name}_rows")
        return ops("MatMul", [tall, ops.constant(columns.T, f"{name}_columns_matrix")], f"{name}_columns")
    scales = [1.0, 1.0, *(_scale(*sides) for sides in zip(size_in, size_out, strict=True))]
    attributes = {
        "mode": {"bilinear": "linear", "bicubic": "cubic"}[interpolation],
        "coordinate_transformation_mode": "half_pixel",
        "cubic_coeff_a": -0.75,  # PyTorch's, and ONNX's default; written down because runtimes' defaults differ
    }
    return ops("Resize", [maps, None, ops.floats(scales, f"{name}_scales")], name, attributes)


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


def pad(ops: Ops, maps: ir.Value, rows: Size, columns: Size, mode: str, name: str) -> ir.Value:
    """Add as many rows (top, bottom) and columns (left, right) as are positive."""
    pads = [0, 0, max(0, rows[0]), max(0, columns[0]), 0, 0, max(0, rows[1]), max(0, columns[1])]
    if not any(pads):
        return maps
    return ops("Pad", [maps, ops.int64s(pads, f"{name}_pads")], name, {"mode": mode})
