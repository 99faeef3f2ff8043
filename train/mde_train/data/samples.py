"""Samples of a data set, whatever its layout on disk: in order, with a hash that names them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import overload

import numpy as np
import numpy.typing as npt

from mde_runtime.errors import BadInputError
from mde_runtime.files import sha256_of, sha256_of_file


@dataclass(frozen=True, eq=False)
class Sample:
    """A frame and its depth."""

    name: str  # unique in its split
    frame: npt.NDArray[np.uint8]  # (H, W, 3), RGB
    depth_m: npt.NDArray[np.float32]  # (H, W), z-depth, metres; 0 where nothing was measured
    valid: npt.NDArray[np.bool_]  # (H, W): where depth_m is a measurement


def sample_of(name: str, frame: npt.NDArray[np.uint8], depth_m: npt.NDArray[np.float32]) -> Sample:
    """A sample whose depth is a measurement wherever it is more than 0."""
    valid = depth_m > 0
    return Sample(name, frame, np.where(valid, depth_m, np.float32(0)), valid)


@dataclass(frozen=True)
class Source:
    """Where a sample comes from: the files that it is read from, and how."""

    name: str
    files: tuple[Path, ...]
    read: Callable[[], Sample]
    doubt: str = ""  # why its depth cannot be depth; empty: nothing speaks against it
    how: str = ""  # what is made of the files beyond reading them, in words; empty: nothing


@dataclass(frozen=True)
class Skipped:
    """A sample that was left out, and why."""

    name: str
    reason: str


class FrameSet(Sequence[Sample]):
    """The samples of one split, read when they are asked for."""

    def __init__(self, root: Path, split: str, sources: Sequence[Source], skipped: Sequence[Skipped] = ()):
        for source in sources:
            _check_text(root, source.name)
        self.root = root
        self.split = split
        self.skipped = tuple(skipped)
        self._sources = tuple(sources)

    def __len__(self) -> int:
        return len(self._sources)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> "FrameSet": ...
    def __getitem__(self, index: int | slice) -> "Sample | FrameSet":
        if isinstance(index, slice):
            return self.picked(range(len(self))[index])
        return self._sources[index].read()

    def picked(self, indices: Iterable[int], skipped: Iterable[Skipped] = (), split: str | None = None) -> "FrameSet":
        """These of its samples, in this order, and what else was left out; `split` renames it."""
        sources = [self._sources[index] for index in indices]
        return FrameSet(self.root, split or self.split, sources, (*self.skipped, *skipped))

    def read_through(self, change: Callable[[Sample], Sample], how: str) -> "FrameSet":
        """The same samples, changed when they are read; `how` says it in words, and is part of the hash."""
        sources = [
            replace(source, read=_then(source.read, change), how=", ".join(filter(None, [source.how, how])))
            for source in self._sources
        ]
        return FrameSet(self.root, self.split, sources, self.skipped)

    def without_doubtful(self) -> "FrameSet":
        """The samples whose depth nothing speaks against; the others are named in `skipped`."""
        doubtful = [Skipped(source.name, source.doubt) for source in self._sources if source.doubt]
        return self.picked([index for index, source in enumerate(self._sources) if not source.doubt], doubtful)

    @property
    def names(self) -> tuple[str, ...]:
        """The samples' names, in order."""
        return tuple(source.name for source in self._sources)

    @cached_property
    def sha256(self) -> str:
        """A hash of the samples' names and their files' contents, and of how they are read: the same everywhere."""
        hashes: dict[Path, str] = {}
        for source in self._sources:
            for file in source.files:
                if file not in hashes:  # a layout may keep all its samples in one file
                    hashes[file] = sha256_of_file(file)
        lines = [
            " ".join([source.name, *(hashes[file] for file in source.files), *filter(None, [source.how])])
            for source in self._sources
        ]
        return sha256_of("\n".join(lines).encode())


def _check_text(root: Path, name: str) -> None:
    """Raise BadInputError where a name cannot be written down: split.json, a hash and a recipe hold names."""
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise BadInputError(f"{root}: the name of frame {name!r} is not UTF-8; rename its files") from error


def _then(read: Callable[[], Sample], change: Callable[[Sample], Sample]) -> Callable[[], Sample]:
    return lambda: change(read())
