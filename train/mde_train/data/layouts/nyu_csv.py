"""NYU Depth V2 as csv lists: data/nyu2_train.csv and data/nyu2_test.csv, each line `image,depth` from the package root.

Training depth is an 8-bit PNG whose 255 is 10 m, its holes filled; test depth is a 16-bit PNG in millimetres. A reader
that takes one for the other is wrong by a factor of 6.5 or 25, so the scale goes by each file's own bit depth. A depth
of 0 is no measurement.
"""

from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mde_runtime.errors import BadInputError
from mde_runtime.frame_lists import file_inside, read_lines
from mde_train.data.images import check_same_size, read_frame, read_levels
from mde_train.data.samples import FrameSet, Sample, Source, sample_of

SPLITS = ("train", "test")
METRES_PER_LEVEL = {8: 10 / 255, 16: 1 / 1000}


def matches(root: Path) -> bool:
    """Whether the folder, or `data` in it, holds one of the lists."""
    return any(_list(root, split).is_file() for split in SPLITS)


def splits(root: Path) -> tuple[str, ...]:
    """The splits that have a list."""
    return tuple(split for split in SPLITS if _list(root, split).is_file())


def open_split(root: Path, split: str) -> FrameSet:
    """The split's samples in the order of its list. Raises BadInputError that names a line which is not a pair."""
    path = _list(root, split)
    package = path.parent.parent
    sources = []
    for number, line in read_lines(path):
        parts = line.split(",")
        if len(parts) != 2:
            raise BadInputError(f"{path}, line {number}: {line[:60]!r} is not `image,depth`")
        frame_file, depth_file = (file_inside(package, part.strip(), path, number) for part in parts)
        name = "/".join(Path(parts[0].strip()).with_suffix("").parts[-2:])
        sources.append(Source(name, (frame_file, depth_file), partial(_read, name, frame_file, depth_file)))
    return FrameSet(root, split, sources)


def _list(root: Path, split: str) -> Path:
    """The list, whether root is the package or the `data` folder in it."""
    name = f"nyu2_{split}.csv"
    return root / name if (root / name).is_file() else root / "data" / name


def _read(name: str, frame_file: Path, depth_file: Path) -> Sample:
    frame, depth_m = read_frame(frame_file), _depth_m(depth_file)
    check_same_size(frame_file, frame, depth_file, depth_m.shape)
    return sample_of(name, frame, depth_m)


def _depth_m(path: Path) -> npt.NDArray[np.float32]:
    levels = read_levels(path)
    depth_m: npt.NDArray[np.float32] = levels.values * np.float32(METRES_PER_LEVEL[levels.num_bits])
    return depth_m
