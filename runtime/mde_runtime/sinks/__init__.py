"""Output formats of depth. A format is one file and one line in the table."""

import importlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mde_runtime.colouring import PLAIN, Colouring, Ends
from mde_runtime.contract import Distance, Intrinsics
from mde_runtime.errors import UsageError

if TYPE_CHECKING:  # --help shows the table, and needs no numpy
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True)
class Sink:
    """A row of the table: the module that has `writer(out, writing)`, and the suffix of a frame's file."""

    module: str
    help: str
    suffix: str | None  # None: one file for many frames


SINKS = {
    "npy": Sink("mde_runtime.sinks.npy", "float32 metres", ".npy"),
    "png16": Sink("mde_runtime.sinks.png16", "16-bit millimetres", ".depth.png"),
    "colour": Sink("mde_runtime.sinks.colour", "a picture with a scale in metres", ".colour.png"),
    "side": Sink("mde_runtime.sinks.side", "the picture and its depth side by side", ".side.png"),
    "ply": Sink("mde_runtime.sinks.ply", "a point cloud", ".ply"),
    "video": Sink("mde_runtime.sinks.video", "coloured depth as a film", None),
}


@dataclass(frozen=True)
class Writing:
    """All that a run's depth has in common."""

    range_m: Ends  # of all depth that can come: at its far end stands what is farther
    distance: Distance
    colouring: Colouring = PLAIN  # of depth that is drawn


@dataclass(frozen=True)
class Prediction:
    """A picture and its depth, both at the picture's own size."""

    name: str  # of the result, without a suffix
    picture: "npt.NDArray[np.uint8]"  # RGB (H, W, 3)
    depth_m: "npt.NDArray[np.float32]"  # (H, W), 0: no measurement
    film: str  # that it comes to stand in, without a suffix
    frames_per_s: float | None  # of the video that it is from
    camera: Intrinsics | None = None  # at the picture's own size


Write = Callable[[Prediction], Path]  # gives the file that holds the result


def open_sink(kind: str, out: Path, writing: Writing) -> AbstractContextManager[Write]:
    """A format's writer, for the time of a `with` block. Raises UsageError for an unknown format."""
    module = importlib.import_module(_row(kind).module)
    sink: AbstractContextManager[Write] = module.writer(out, writing)
    return sink


def file_of(kind: str, out: Path, name: str) -> Path:
    """The file that a format makes of a frame. Raises UsageError where it makes one of many frames."""
    suffix = _row(kind).suffix
    if suffix is None:
        raise UsageError(f"--format {kind} makes one file of many frames, which cannot be resumed; leave --resume out")
    return out / f"{name}{suffix}"


def _row(kind: str) -> Sink:
    if kind not in SINKS:
        raise UsageError(f"no format {kind!r}; there are {', '.join(SINKS)}")
    return SINKS[kind]
