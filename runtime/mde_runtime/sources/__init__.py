"""Sources of frames. A kind of source is one file and one line in the table."""

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mde_runtime.contract import Intrinsics
from mde_runtime.errors import BadInputError, UsageError

if TYPE_CHECKING:
    from mde_runtime.ros.messages import Recorded

# Each has `open(source)`, which gives None for what is not of its kind; the first that answers reads it.
SOURCES = (
    "mde_runtime.sources.csi",
    "mde_runtime.sources.bags",
    "mde_runtime.sources.videos",
    "mde_runtime.sources.pictures",
)
SINGLE_PICTURES = "pictures"  # the film of pictures that are named one by one


@dataclass(frozen=True)
class NamedFrame:
    """A frame that can be read when its turn comes."""

    name: str  # of its results, without a suffix: `frame` or `folder/frame`
    read: Callable[[], npt.NDArray[np.uint8]]  # RGB (H, W, 3); raises BadInputError where it cannot be read
    film: str  # that it comes to stand in, without a suffix: `folder`, `folder/below` or `video`
    frames_per_s: float | None = None  # of the video that it is from; None: a picture
    camera: Callable[[], Intrinsics | None] = lambda: None  # at the picture's size, as far as its file says
    recorded: "Recorded | None" = None  # its place in a recording of ROS
    measured_camera: Callable[[int, int], Intrinsics | None] = lambda _height_px, _width_px: None  # by a CameraInfo


@dataclass(frozen=True)
class SizedCamera:
    """A camera, and the size of the pictures that it is said of."""

    intrinsics: Intrinsics
    height_px: int
    width_px: int


@dataclass(frozen=True)
class Source:
    """A picture, a folder, a pattern, a video or a camera."""

    origin: str  # what a person calls it
    takes: tuple[tuple[str, str], ...]  # names of its results, each with the file that it is of; `NAME/`: all below it
    num_frames: int | None  # None: not known before the end
    frames: Callable[[], Iterator[NamedFrame]]  # those of one film after each other
    film: str | None  # of its frames, or the folder that their films come to lie in; None: single pictures
    is_live: bool = False  # a camera: whoever asks for a frame gets the newest, so none is to be read ahead
    note: str = ""  # for a person: what of it is not taken
    camera: SizedCamera | None = None  # that all of it was taken with


def open_sources(sources: Sequence[str]) -> list[Source]:
    """The sources, opened in order. Raises BadInputError for one that is none.

    Raises UsageError where two frames would have results of the same name.
    """
    opened = [_open(source) for source in sources]
    takers: dict[str, str] = {}
    for name, taker in (pair for source in opened for pair in source.takes):
        _check_free(name, taker, takers)
        takers[name] = taker
    for name, taker in takers.items():
        if not name.endswith("/") and "/" in name:
            _check_free(f"{name.partition('/')[0]}/", taker, takers, name)
    return opened


def _check_free(name: str, taker: str, takers: Mapping[str, str], frame: str = "") -> None:
    if name in takers:
        raise UsageError(
            f"{takers[name]} and {taker} would both write {frame or name.rstrip('/')}; rename one, or use different "
            "output folders, one at a time"
        )


def check_films(sources: Sequence[Source]) -> None:
    """Raises UsageError where two sources would make one film, but for single pictures named after each other."""
    takers: dict[str, str] = {}
    before: Source | None = None
    for source in sources:
        film = source.film or SINGLE_PICTURES
        goes_on = source.film is None and before is not None and before.film is None
        if film in takers and not goes_on:
            raise UsageError(
                f"{takers[film]} and {source.origin} would both write the video {film}; use different output folders"
            )
        takers[film], before = source.origin, source


def frame_that_fails(name: str, film: str, problem: BadInputError, frames_per_s: float | None = None) -> NamedFrame:
    """A frame that is there and cannot be read: whoever reads it gets the problem, and goes on."""

    def read() -> npt.NDArray[np.uint8]:
        raise problem

    return NamedFrame(name, read, film, frames_per_s)


def _open(source: str) -> Source:
    for module in SOURCES:
        found: Source | None = importlib.import_module(module).open(source)
        if found is not None:
            return found
    raise BadInputError(f"{source}: not a picture or video, nor a folder, pattern or bag with pictures; check the path")
