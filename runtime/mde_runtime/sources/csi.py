"""Cameras on a Jetson's CSI connectors, `csi:0` and so on, by the system's OpenCV and GStreamer.

OpenCV from PyPI has no GStreamer; JetPack's has, and is seen from an environment with system site packages. Not run on
a Jetson by this project yet; the tests run it over a stand-in of OpenCV.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from mde_runtime import installation
from mde_runtime.errors import BadInputError, MachineError
from mde_runtime.sources import NamedFrame, Source

PREFIX = "csi:"
REMEDY = (
    "on Jetson create the environment with --system-site-packages, so that JetPack's OpenCV is seen (docs/jetson.md)"
)
# The newest frame alone: `drop` lets go of what was not asked for in time, so depth is never of a scene long past.
PIPELINE = (
    "nvarguscamerasrc sensor-id={sensor} ! nvvidconv ! video/x-raw, format=BGRx ! videoconvert ! "
    "video/x-raw, format=BGR ! appsink drop=true max-buffers=1"
)


def open(source: str) -> Source | None:
    """A CSI camera; None where it is none. Raises MachineError where no OpenCV with GStreamer is here."""
    if not source.startswith(PREFIX):
        return None
    sensor = source.removeprefix(PREFIX)
    if not sensor.isdigit():
        raise BadInputError(f"{source}: {sensor!r} is not a sensor number; use for example {PREFIX}0")
    cv2 = _opencv(source)
    name = f"csi{sensor}"
    return Source(source, ((f"{name}/", source),), None, lambda: _frames(cv2, source, int(sensor)), name, is_live=True)


def _opencv(source: str) -> Any:  # Any: OpenCV publishes no types
    try:
        import cv2
    except ImportError as error:
        remedy = _numpy_1() if "multiarray" in str(error) else REMEDY
        raise MachineError(f"{source}: OpenCV cannot be loaded ({error}); {remedy}") from error
    built = {line.split(":")[0].strip(): line.split(":")[-1].strip() for line in cv2.getBuildInformation().splitlines()}
    if not built.get("GStreamer", "").startswith("YES"):
        raise MachineError(f"{source}: OpenCV {cv2.__version__} here was built without GStreamer; {REMEDY}")
    return cv2


def _numpy_1() -> str:
    command = installation.this_installation().adding_package("numpy<2")
    return f"JetPack 6's OpenCV was built for numpy 1: {command} (docs/jetson.md)"


def _frames(cv2: Any, source: str, sensor: int) -> Iterator[NamedFrame]:
    """Frames until the camera gives no more, or whoever asks has enough."""
    camera = cv2.VideoCapture(PIPELINE.format(sensor=sensor), cv2.CAP_GSTREAMER)
    try:
        if not camera.isOpened():
            raise MachineError(f"{source}: no camera responds; check its cable and `systemctl status nvargus-daemon`")
        rate = float(camera.get(cv2.CAP_PROP_FPS)) or None
        index = 0
        while True:
            is_there, bgr = camera.read()
            if not is_there:
                return
            picture = np.ascontiguousarray(bgr[..., ::-1])
            yield NamedFrame(
                f"csi{sensor}/{index:06d}",
                lambda picture=picture: picture,  # type: ignore[misc]  # mypy knows no default
                f"csi{sensor}",
                rate,
            )
            index += 1
    finally:
        camera.release()
