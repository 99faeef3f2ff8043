"""Videos, and cameras of Linux such as /dev/video0, by PyAV."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mde_runtime import installation
from mde_runtime.errors import BadInputError, MachineError
from mde_runtime.files import check_regular
from mde_runtime.prefetch import reading_ahead
from mde_runtime.sources import NamedFrame, Source, frame_that_fails

SUFFIXES = (".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v", ".mpg", ".mpeg", ".ts")
CAMERA = "/dev/video"
# FFmpeg goes by content, and would follow what a play list or a script names.
DEMUXERS = "mov,matroska,webm,avi,mpeg,mpegts,mpegvideo,h264,hevc"
WITH_DURATION = ("mov", "matroska", "avi")  # their headers say how long the film is; elsewhere FFmpeg estimates it
MISSING_S = 0.25  # that a film may be shorter than its header says: rounding, and a start that is not at 0


def open(source: str) -> Source | None:
    """A video or camera; None where it is neither. Raises MachineError where PyAV is not installed."""
    is_camera, path = source.startswith(CAMERA), Path(source)
    if not is_camera and (path.suffix.lower() not in SUFFIXES or path.is_dir()):
        return None
    try:
        import av
    except ImportError as error:
        raise MachineError(f"{source}: reading videos needs PyAV; {installation.adding('video')}") from error
    try:
        if not is_camera:
            check_regular(path)
        with _container(source, is_camera) as container:
            if not container.streams.video:
                raise BadInputError(f"{source}: contains no video; pass another file")
            num_frames = container.streams.video[0].frames or None
    except FileNotFoundError as error:
        raise BadInputError(f"{source}: no such file; check the path") from error
    except (av.FFmpegError, OSError, ValueError) as error:
        raise BadInputError(f"{source}: not a readable video ({error}); copy it again") from error
    stem = path.stem
    return Source(
        source, ((f"{stem}/", source),), num_frames, lambda: _frames(source, stem, is_camera), stem, is_camera
    )


def _container(source: str, is_camera: bool) -> Any:  # Any: PyAV's container
    """The opened file, and no other: whatever it is, nothing that it names is opened."""
    import av

    if is_camera:
        return av.open(source, format="v4l2")
    allowed = {"format_whitelist": DEMUXERS, "protocol_whitelist": "file"}
    return av.open(f"file:{source}", options=allowed, metadata_errors="replace")  # a title may be in any encoding


def _frames(source: str, stem: str, is_camera: bool) -> Iterator[NamedFrame]:
    """The frames in order. Where one cannot be decoded, or the film ends early, the last says so; it has no picture.

    Of a camera the newest: it is read all the time, since its driver keeps the old ones and drops the new when full.
    """
    import av

    index, rate = 0, None
    film = _Film()
    decoded = _decoded(source, is_camera, film)
    problem = ""
    with reading_ahead(decoded, 1, drops=True) if is_camera else contextlib.nullcontext(decoded) as given:
        try:
            for frame, rate in given:
                yield _source_frame(source, f"{stem}/{index:06d}", stem, frame, rate, index)
                index += 1
        except av.FFmpegError as error:
            problem = f"broken at frame {index} ({error}); the frames before it are done"
    if problem := problem or ("" if is_camera else film.shortage(index)):
        yield frame_that_fails(f"{stem}/{index:06d}", stem, BadInputError(f"{source}: {problem}"), rate)


def _source_frame(source: str, name: str, stem: str, frame: Any, rate: float | None, index: int) -> NamedFrame:
    """A decoded frame, which the decoder may have patched together where the file is damaged."""
    if frame.is_corrupt:
        return frame_that_fails(name, stem, BadInputError(f"{source}: frame {index} is damaged; copy it again"), rate)
    picture = _upright(frame.to_ndarray(format="rgb24"), frame)
    return NamedFrame(name, lambda: picture, stem, rate)


class _Film:
    """How long a film should be by its header, and how far its packets went, of whichever stream."""

    def __init__(self) -> None:
        self._duration_s = self._end_s = self._rate = 0.0
        self._num_frames = 0

    def begin(self, container: Any) -> None:  # Any: PyAV's container
        """Note what the header says."""
        stream = container.streams.video[0]
        self._num_frames, self._rate = stream.frames, float(stream.average_rate or 0)
        if container.duration and container.format.name.split(",")[0] in WITH_DURATION:
            self._duration_s = container.duration / 1e6  # FFmpeg's own time base

    def note(self, packet: Any) -> None:  # Any: PyAV's packet
        """Note how far a packet goes."""
        if packet.pts is not None:
            self._end_s = max(self._end_s, float((packet.pts + (packet.duration or 0)) * packet.time_base))

    def shortage(self, num_read: int) -> str:
        """In words, how a film that gave so many frames is too short; empty where it is whole."""
        expected = self._num_frames or round(self._duration_s * self._rate)
        of_how_many = f" of {expected}" if expected > num_read else ""
        if num_read == 0:
            return f"no frame{of_how_many} in it can be read; copy it again"
        frame_s = 1 / self._rate if self._rate else 0.0
        if self._duration_s - self._end_s > MISSING_S + 2 * frame_s:
            return f"ends early, at frame {num_read}{of_how_many}; those are done, copy it again for the rest"
        return ""


def _decoded(source: str, is_camera: bool, film: _Film) -> Iterator[tuple[Any, float | None]]:  # Any: PyAV's frame
    """The frames as PyAV has them, and how many there are a second."""
    with _container(source, is_camera) as container:
        stream = container.streams.video[0]
        # AUTO decodes several frames at once, and holds each back until the next ones have come.
        stream.thread_type = "SLICE" if is_camera else "AUTO"
        rate = float(stream.average_rate or 0) or None
        if is_camera:
            yield from ((frame, rate) for frame in container.decode(stream))
            return
        film.begin(container)
        for packet in container.demux():
            film.note(packet)
            if packet.stream is stream:
                for frame in packet.decode():
                    yield frame, rate


def _upright(picture: npt.NDArray[np.uint8], frame: Any) -> npt.NDArray[np.uint8]:  # Any: PyAV's frame
    """The picture turned as the video says that it was held; its angle counts against the clock."""
    return np.ascontiguousarray(np.rot90(picture, (frame.rotation // 90) % 4))
