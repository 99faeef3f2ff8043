"""Depth as a coloured point cloud (binary PLY) in the camera's frame: x right, y down, z forward, metres."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mde_runtime.colouring import Colouring
from mde_runtime.contract import Contract, Intrinsics
from mde_runtime.errors import UsageError
from mde_runtime.files import write_bytes
from mde_runtime.picture_placement import placement_of
from mde_runtime.sinks import Prediction, Write, file_of

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
def writer(out: Path, contract: Contract, colouring: Colouring) -> Iterator[Write]:  # noqa: ARG001  every sink's seam
    """Write `NAME.ply` below `out`, a point for each pixel whose depth lies inside the contract's range.

    Depth at the far end is left out: what is clipped there is farther, nobody knows how far.
    """
    if contract.intrinsics is None:
        raise UsageError("a point cloud needs the camera, which this bundle does not know; give --focal-px")
    intrinsics = contract.intrinsics

    def write(prediction: Prediction) -> Path:
        points = points_of(prediction.depth_m, camera_of(contract, intrinsics, prediction.depth_m.shape), contract)
        is_measured = (prediction.depth_m > 0) & (prediction.depth_m < contract.from_network.far_m)
        vertices = np.empty(int(is_measured.sum()), VERTEX)
        vertices["xyz"], vertices["rgb"] = points[is_measured], prediction.picture[is_measured]
        path = file_of("ply", out, prediction.name)
        write_bytes(path, HEADER.format(len(vertices)).encode() + vertices.tobytes())
        return path

    yield write


def camera_of(contract: Contract, intrinsics: Intrinsics, shape: tuple[int, ...]) -> Intrinsics:
    """The camera at a picture's own size (height, width), from that at the contract's source size."""
    placement = placement_of(contract, shape[1], shape[0])
    left, top, right, bottom = placement.frame_box
    part_left, part_top, part_right, part_bottom = placement.picture_box
    across, down = (part_right - part_left) / (right - left), (part_bottom - part_top) / (bottom - top)
    return Intrinsics(
        fx_px=intrinsics.fx_px * across,
        fy_px=intrinsics.fy_px * down,
        cx_px=(intrinsics.cx_px + 0.5 - left) * across + part_left - 0.5,  # pixel centres are whole numbers
        cy_px=(intrinsics.cy_px + 0.5 - top) * down + part_top - 0.5,
    )


def points_of(depth_m: npt.NDArray[np.float32], camera: Intrinsics, contract: Contract) -> npt.NDArray[np.float32]:
    """The (H, W, 3) points in metres of a depth map; ray distance is measured along each pixel's ray."""
    height_px, width_px = depth_m.shape
    x = ((np.arange(width_px) - camera.cx_px) / camera.fx_px)[None].repeat(height_px, 0)
    y = ((np.arange(height_px) - camera.cy_px) / camera.fy_px)[:, None].repeat(width_px, 1)
    rays = np.stack([x, y, np.ones_like(x)], axis=-1)
    if contract.from_network.distance == "ray":
        rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    return (rays * depth_m[..., None]).astype(np.float32)
