"""Rays: the distance along a pixel's ray from the depth along the optical axis, for a pinhole camera."""

from typing import Any

import numpy as np
import numpy.typing as npt

from mde_runtime.contract import Intrinsics

Floats = npt.NDArray[np.float64]


def ray_per_z(camera: Intrinsics, columns: npt.NDArray[Any], rows: npt.NDArray[Any]) -> Floats:  # Any: whole or not
    """How many times as long as its z-depth the ray of each pixel is; pixel centres are whole numbers."""
    x, y = (columns - camera.cx_px) / camera.fx_px, (rows - camera.cy_px) / camera.fy_px
    length: Floats = np.sqrt(1.0 + x * x + y * y)
    return length
