"""Depth as a coloured point cloud (binary PLY) in the camera's frame: x right, y down, z forward, metres."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mde_runtime.contract import Distance, Intrinsics
from mde_runtime.errors import UsageError
from mde_runtime.files import write_bytes
from mde_runtime.rays import ray_per_z
from mde_runtime.sinks import Prediction, Write, Writing, file_of

VERTEX = np.dtype([("xyz", "<f4", 3), ("rgb", "u1", 3)])
HEADER = """ply
format binary_little_endian 1.0
element vertex {}
property float x
property float y
property float z
property uchar red
property uchar green
property uchar blue
end_header
"""


@contextlib.contextmanager
def writer(out: Path, writing: Writing) -> Iterator[Write]:
    """Write `NAME.ply` below `out`, a point for each pixel whose depth lies inside the range.

    Depth at the far end is left out, and so is the sky: what is clipped there is farther, nobody knows how far.
    """

    def write(prediction: Prediction) -> Path:
        if prediction.camera is None:
            raise UsageError(
                f"{prediction.name}: a point cloud needs the camera's intrinsics, and neither bundle nor picture has "
                "them; pass --focal-px or --intrinsics"
            )
        points = points_of(prediction.depth_m, prediction.camera, writing.distance)
        is_measured = (prediction.depth_m > 0) & (prediction.depth_m < writing.range_m[1])
        vertices = np.empty(int(is_measured.sum()), VERTEX)
        vertices["xyz"], vertices["rgb"] = points[is_measured], prediction.picture[is_measured]
        path = file_of("ply", out, prediction.name)
        write_bytes(path, HEADER.format(len(vertices)).encode() + vertices.tobytes())
        return path

    yield write


def points_of(depth_m: npt.NDArray[np.float32], camera: Intrinsics, distance: Distance) -> npt.NDArray[np.float32]:
    """The (H, W, 3) points in metres of a depth map; ray distance is measured along each pixel's ray."""
    height_px, width_px = depth_m.shape
    columns, rows = np.meshgrid(np.arange(width_px), np.arange(height_px))
    x, y = (columns - camera.cx_px) / camera.fx_px, (rows - camera.cy_px) / camera.fy_px
    z_m = depth_m / ray_per_z(camera, columns, rows) if distance == "ray" else depth_m
    points: npt.NDArray[np.float32] = (np.stack([x, y, np.ones_like(x)], axis=-1) * z_m[..., None]).astype(np.float32)
    return points
