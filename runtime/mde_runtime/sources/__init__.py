"""Where frames come from. A kind of source is one file and one line in the table."""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mde_runtime.errors import BadInputError, UsageError

SOURCES = ("mde_runtime.sources.pictures",)  # each has `frames(source)`; the first that does not answer None reads it


@dataclass(frozen=True)
class SourceFrame:
    """A frame that can be read when its turn comes."""

    name: str  # of its results, without a suffix: `frame` or `folder/frame`
    origin: str  # what a person calls it
    read: Callable[[], npt.NDArray[np.uint8]]  # RGB (H, W, 3); raises BadInputError where it cannot be read


def frames_of(sources: Sequence[str]) -> list[SourceFrame]:
    """All frames of the sources, in order. Raises BadInputError for a source that is none.

    Raises UsageError where two frames would have results of the same name.
    """
    found = [frame for source in sources for frame in _frames(source)]
    origins: dict[str, str] = {}
    for frame in found:
        if (other := origins.setdefault(frame.name, frame.origin)) != frame.origin:
            raise UsageError(
                f"{other} and {frame.origin} would both give {frame.name}; write them to different folders"
            )
    return found


def _frames(source: str) -> list[SourceFrame]:
    for module in SOURCES:
        found: list[SourceFrame] | None = importlib.import_module(module).frames(source)
        if found is not None:
            return found
    raise BadInputError(f"{source}: no picture, and no folder or pattern that has pictures")
