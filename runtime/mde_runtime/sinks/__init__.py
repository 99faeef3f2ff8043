"""Output formats of depth. A format is one file and one line in the table."""

import importlib
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mde_runtime.colouring import PLAIN, Colouring, Ends
from mde_runtime.contract import Distance, Intrinsics
from mde_runtime.errors import UsageError
from mde_runtime.nearest import did_you_mean

if TYPE_CHECKING:  # --help shows the table, and needs no numpy
    import numpy as np
    import numpy.typing as npt

    from mde_runtime.ros.messages import Recorded


@dataclass(frozen=True)
class Sink:
    """A row of the table: the module that has `writer(out, writing)`, and the suffix of a frame's file."""

    module: str
    help: str
    suffix: str | None  # None: one file for many frames
    uses_camera: bool = False  # whether it writes what the camera tells: pictures' EXIF is read for these alone
    is_resumable: bool = False  # such a file: its module has `has_result(out, film, name)`
    film_file: str = ""  # such a file in a word, where two formats would write to one place


SINKS = {
    "npy": Sink("mde_runtime.sinks.npy", "float32 metres", ".npy"),
    "png16": Sink("mde_runtime.sinks.png16", "16-bit millimetres", ".depth.png"),
    "colour": Sink("mde_runtime.sinks.colour", "a picture with a scale in metres", ".colour.png"),
    "side": Sink("mde_runtime.sinks.side", "the picture and its depth side by side", ".side.png"),
    "ply": Sink("mde_runtime.sinks.ply", "a point cloud", ".ply", uses_camera=True),
    "video": Sink("mde_runtime.sinks.video", "coloured depth as a video", None),
    "bag": Sink(
        "mde_runtime.sinks.bag",
        "a ROS 2 bag, 32FC1 metres",
        None,
        uses_camera=True,
        is_resumable=True,
        film_file="bag",
    ),
    "bag16": Sink(
        "mde_runtime.sinks.bag16",
        "a ROS 2 bag, 16UC1 millimetres",
        None,
        uses_camera=True,
        is_resumable=True,
        film_file="bag",
    ),
}


@dataclass(frozen=True)
class Writing:
    """All that a run's depth has in common."""

    range_m: Ends  # of all depth that can come: at its far end stands what is farther
    distance: Distance
    colouring: Colouring = PLAIN  # of depth that is drawn
    resume: bool = False  # go on from a run before


@dataclass(frozen=True)
class Prediction:
    """A picture and its depth, both at the picture's own size."""

    name: str  # of the result, without a suffix
    picture: "npt.NDArray[np.uint8]"  # RGB (H, W, 3)
    depth_m: "npt.NDArray[np.float32]"  # (H, W), 0: no measurement
    film: str  # that it comes to stand in, without a suffix
    frames_per_s: float | None  # of the video that it is from
    camera: Intrinsics | None = None  # at the picture's own size, for a format that uses it
    recorded: "Recorded | None" = None  # its place in a recording of ROS
    index: int = 0  # of its film, from 0


Write = Callable[[Prediction], Path]  # gives the file that holds the result


def open_sink(kind: str, out: Path, writing: Writing) -> AbstractContextManager[Write]:
    """A format's writer, for the time of a `with` block. Raises UsageError for an unknown format."""
    module = importlib.import_module(_row(kind).module)
    sink: AbstractContextManager[Write] = module.writer(out, writing)
    return sink


def check_apart(kinds: Sequence[str]) -> None:
    """Raise UsageError where two formats would write to one file."""
    takers: dict[str, str] = {}
    for kind in kinds:
        file = _row(kind).film_file
        if file and takers.setdefault(file, kind) != kind:
            raise UsageError(
                f"--format {takers[file]} and --format {kind} would both write the {file}; pass one of them, and the "
                "other with another output folder"
            )


def check_resumable(kind: str) -> None:
    """Raise UsageError where a format makes one file of many frames that cannot go on."""
    if _row(kind).suffix is None and not _row(kind).is_resumable:
        file_of(kind, Path(), "")


def has_result(kind: str, out: Path, film: str, name: str) -> bool:
    """Whether a format's result of a frame is there."""
    row = _row(kind)
    if row.is_resumable:
        return bool(importlib.import_module(row.module).has_result(out, film, name))
    return os.path.isfile(file_of(kind, out, name))  # noqa: PTH113  never raises


def file_of(kind: str, out: Path, name: str) -> Path:
    """The file that a format makes of a frame. Raises UsageError where it makes one of many frames."""
    suffix = _row(kind).suffix
    if suffix is None:
        raise UsageError(f"--format {kind} makes one file of many frames, which cannot be resumed; leave --resume out")
    return out / f"{name}{suffix}"


def _row(kind: str) -> Sink:
    if kind not in SINKS:
        raise UsageError(f"unknown format {kind!r}{did_you_mean(kind, SINKS)}; choose from {', '.join(SINKS)}")
    return SINKS[kind]
