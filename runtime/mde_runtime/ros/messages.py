"""The messages of ROS 2 that pictures and depth travel in: sensor_msgs Image, CompressedImage and CameraInfo.

Sources of their meaning: the definitions of sensor_msgs; REP 118 of depth, in which NaN is no measurement.
"""

import functools
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mde_runtime import installation
from mde_runtime.contract import Intrinsics
from mde_runtime.errors import MachineError

IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
STORAGES = ("mcap", "sqlite3")
Storage = Literal["mcap", "sqlite3"]


@dataclass(frozen=True, eq=False)
class Recorded:
    """A frame's place in a recording, which its depth keeps."""

    storage: Storage
    topic: str
    log_ns: int  # when it was recorded
    header: Any  # Any: rosbags' std_msgs/msg/Header; when it was taken, and in which frame of coordinates
    camera_info: Any  # Any: rosbags' CameraInfo, or None


@functools.cache
def types() -> Any:  # Any: rosbags' store of types
    """The types of ROS 2. Raises MachineError where rosbags is not installed."""
    try:
        from rosbags.typesys import Stores, get_typestore
    except ImportError as error:
        raise MachineError(f"ROS 2 bags need rosbags; {installation.adding('bag')}") from error
    return get_typestore(Stores.ROS2_HUMBLE)


def header_at(stamp_ns: int, frame_id: str) -> Any:  # Any: rosbags' Header
    """A header of a time and a frame of coordinates."""
    known = types().types
    stamp = known["builtin_interfaces/msg/Time"](sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    return known["std_msgs/msg/Header"](stamp=stamp, frame_id=frame_id)


def encoding_of(*, in_millimetres: bool) -> str:
    """The encoding of an Image of depth."""
    return "16UC1" if in_millimetres else "32FC1"


def depth_image(depth_m: npt.NDArray[np.float32], header: Any, *, in_millimetres: bool) -> bytes:
    """An Image of depth, serialised: 32FC1 in metres with NaN for no measurement, or 16UC1 in millimetres with 0."""
    if in_millimetres:
        values: npt.NDArray[Any] = np.round(depth_m.astype(np.float64) * 1000).astype("<u2")
    else:
        values = np.where(depth_m > 0, depth_m, np.float32(np.nan)).astype("<f4")
    height_px, width_px = depth_m.shape
    message = types().types[IMAGE](
        header=header,
        height=height_px,
        width=width_px,
        encoding=encoding_of(in_millimetres=in_millimetres),
        is_bigendian=0,
        step=width_px * values.itemsize,
        data=values.reshape(-1).view(np.uint8),
    )
    return bytes(types().serialize_cdr(message, IMAGE))


def camera_info(header: Any, known: Any, camera: Intrinsics | None, height_px: int, width_px: int) -> bytes:
    """A CameraInfo, serialised: the recorded one with this header, else a pinhole's; empty where none is known."""
    if known is not None:
        fields = {name: getattr(known, name) for name in known.__dataclass_fields__ if name != "__msgtype__"}
        message = type(known)(**{**fields, "header": header})
        return bytes(types().serialize_cdr(message, CAMERA_INFO))
    if camera is None:
        return b""
    matrix = [camera.fx_px, 0, camera.cx_px, 0, camera.fy_px, camera.cy_px, 0, 0, 1]
    projection = [*matrix[:3], 0, *matrix[3:6], 0, *matrix[6:], 0]
    region = types().types["sensor_msgs/msg/RegionOfInterest"]
    message = types().types[CAMERA_INFO](
        header=header,
        height=height_px,
        width=width_px,
        distortion_model="plumb_bob",
        d=np.zeros(5),
        k=np.array(matrix, np.float64),
        r=np.eye(3).reshape(-1),
        p=np.array(projection, np.float64),
        binning_x=0,
        binning_y=0,
        roi=region(x_offset=0, y_offset=0, height=0, width=0, do_rectify=False),
    )
    return bytes(types().serialize_cdr(message, CAMERA_INFO))


def intrinsics_of(info: Any, topic: str, height_px: int, width_px: int) -> Intrinsics | None:
    """The pinhole camera of a CameraInfo at the size of an image; None where it is not calibrated.

    A rectified image (`image_rect`, compressed or not) has the camera of the projection matrix, any other its own.
    """
    if info is None:
        return None
    is_rectified = topic.removesuffix("/compressed").rpartition("/")[2].startswith("image_rect")
    fx_px, cx_px, fy_px, cy_px = info.p[[0, 2, 5, 6]] if is_rectified else info.k[[0, 2, 4, 5]]
    values = np.array([fx_px, fy_px, cx_px, cy_px], np.float64)
    if not (np.isfinite(values).all() and values[:2].min() > 0):
        return None
    across = width_px / info.width if info.width else 1.0
    down = height_px / info.height if info.height else 1.0
    return Intrinsics(
        fx_px=float(fx_px * across),
        fy_px=float(fy_px * down),
        cx_px=float((cx_px + 0.5) * across - 0.5),  # pixel centres are whole numbers
        cy_px=float((cy_px + 0.5) * down - 0.5),
    )
