"""Coloured depth as a video for each source, with a scale in metres."""

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mde_runtime import installation
from mde_runtime.colours import coloured_with_scale
from mde_runtime.errors import BadInputError, MachineError
from mde_runtime.files import replacing
from mde_runtime.sinks import Prediction, Write, Writing

SUFFIX = ".depth.mp4"  # beside `drive/` may lie the `drive.mp4` that its pictures were taken from
PICTURES_PER_S = 10.0  # where the source is a folder of pictures
CODECS = ("libx264", "mpeg4")  # the first that this PyAV has


@contextlib.contextmanager
def writer(out: Path, writing: Writing) -> Iterator[Write]:
    """Write `FILM.depth.mp4` below `out`, whole or not at all. The pictures of a film come after each other."""
    last: Path | None = None
    with contextlib.ExitStack() as stack:
        film: _Film | None = None
        ends_m = (0.0, 1.0)

        def write(prediction: Prediction) -> Path:
            nonlocal last, film, ends_m
            path = out / f"{prediction.film}{SUFFIX}"
            if film is None or path != last:
                stack.close()  # ends the video before
                ends_m = writing.colouring.ends_of(prediction.depth_m, writing.range_m)  # of all its pictures alike
                last, film = path, stack.enter_context(_film(path, prediction.frames_per_s or PICTURES_PER_S))
            film.add(coloured_with_scale(prediction.depth_m, ends_m, writing.colouring.direction), prediction.name)
            return path

        yield write


class _Film:
    """An open video; its size is that of its first picture, made even, as the codecs want it."""

    def __init__(self, container: Any, frames_per_s: float):  # Any: PyAV's own objects
        self._container, self._rate = container, Fraction(frames_per_s).limit_denominator(1001)
        self._stream: Any = None
        self._shape: tuple[int, ...] = ()

    def add(self, picture: npt.NDArray[np.uint8], name: str) -> None:
        import av

        even = np.pad(picture, [(0, picture.shape[0] % 2), (0, picture.shape[1] % 2), (0, 0)], mode="edge")
        if self._stream is None:
            codec = next(codec for codec in CODECS if codec in av.codecs_available)
            self._stream = self._container.add_stream(codec, rate=self._rate)
            self._shape = even.shape
            self._stream.height, self._stream.width = even.shape[:2]
            self._stream.pix_fmt = "yuv420p"
        if even.shape != self._shape:
            raise BadInputError(
                f"{name}: {picture.shape[1]}x{picture.shape[0]} px, unlike the video's first picture; use --format "
                "colour"
            )
        self._container.mux(self._stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))

    def end(self) -> None:
        if self._stream is not None:
            self._container.mux(self._stream.encode())


@contextlib.contextmanager
def _film(path: Path, frames_per_s: float) -> Iterator[_Film]:
    try:
        import av
    except ImportError as error:
        raise MachineError(f"writing videos needs PyAV; {installation.adding('video')}") from error
    with replacing(path) as draft, av.open(str(draft), "w") as container:
        film = _Film(container, frames_per_s)
        yield film
        film.end()
