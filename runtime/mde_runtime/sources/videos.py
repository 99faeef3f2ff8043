"""Videos, and cameras of Linux such as /dev/video0, by PyAV."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mde_runtime.ahead import reading_ahead
from mde_runtime.errors import BadInputError, MachineError
from mde_runtime.sources import Source, SourceFrame

SUFFIXES = (".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v", ".mpg", ".mpeg", ".ts")
CAMERA = "/dev/video"


def open(source: str) -> Source | None:
    """A video or camera; None where it is neither. Raises MachineError where PyAV is not installed."""
    is_camera = source.startswith(CAMERA)
    if not is_camera and Path(source).suffix.lower() not in SUFFIXES:
        return None
    try:
        import av
    except ImportError as error:
        raise MachineError(f"{source}: reading videos needs PyAV; pip install 'mde-toolchain[video]'") from error
    try:
        with av.open(source, format="v4l2" if is_camera else None) as container:
            if not container.streams.video:
                raise BadInputError(f"{source}: has no video in it; name another file")
            num_frames = container.streams.video[0].frames or None
    except (av.FFmpegError, OSError) as error:
        raise BadInputError(f"{source}: not a video that can be read ({error}); copy it again") from error
    stem = Path(source).stem
    return Source(source, (stem,), num_frames, lambda: _frames(source, stem, is_camera), stem, is_camera)


def _frames(source: str, stem: str, is_camera: bool) -> Iterator[SourceFrame]:
    """The frames in order. Where one cannot be decoded the video ends with a frame that says so.

    Of a camera the newest: it is read all the time, since its driver keeps the old ones and drops the new when full.
    """
    import av

    index, rate = 0, None
    decoded = _decoded(source, is_camera)
    with reading_ahead(decoded, 1, drops=True) if is_camera else contextlib.nullcontext(decoded) as given:
        try:
            for frame, rate in given:
                picture = _upright(frame.to_ndarray(format="rgb24"), frame)
                yield SourceFrame(f"{stem}/{index:06d}", lambda picture=picture: picture, stem, rate)  # type: ignore[misc]
                index += 1
        except av.FFmpegError as error:
            problem = BadInputError(f"{source}: broken at frame {index} ({error}); the frames before it are done")
            yield SourceFrame(f"{stem}/{index:06d}", lambda: _fail(problem), stem, rate)


def _decoded(source: str, is_camera: bool) -> Iterator[tuple[Any, float | None]]:  # Any: PyAV's frame
    """The frames as PyAV has them, and how many there are a second."""
    import av

    with av.open(source, format="v4l2" if is_camera else None) as container:
        stream = container.streams.video[0]
        # AUTO decodes several frames at once, and holds each back until the next ones have come.
        stream.thread_type = "SLICE" if is_camera else "AUTO"
        rate = float(stream.average_rate or 0) or None
        for frame in container.decode(stream):
            yield frame, rate


def _upright(picture: npt.NDArray[np.uint8], frame: Any) -> npt.NDArray[np.uint8]:  # Any: PyAV's frame
    """The picture turned as the video says that it was held; its angle counts against the clock."""
    return np.ascontiguousarray(np.rot90(picture, (frame.rotation // 90) % 4))


def _fail(problem: BadInputError) -> npt.NDArray[np.uint8]:
    raise problem
