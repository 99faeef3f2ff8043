"""Two folders, one of frames and one of depth, and a file that declares the unit: `layout.json`.

    {"frames": "images", "depth": "depth", "metres_per_unit": 0.001}

Frames are .png, .jpg or .jpeg; depth is .png (8 or 16 bits, grey) or .npy (floating point) of the same name. Depth
times metres_per_unit is z-depth in metres; 0 is no measurement. Each folder may hold train, val or test; without, all
is train.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from mde_runtime import records
from mde_runtime.errors import BadInputError
from mde_runtime.files import read_small
from mde_runtime.frame_lists import inside
from mde_train.data.images import check_same_size, read_depth_npy, read_frame, read_levels
from mde_train.data.paired_files import by_name, check_paired, in_order
from mde_train.data.samples import FrameSet, Sample, Source, sample_of

DECLARATION = "layout.json"
SPLITS = ("train", "val", "test")
FRAMES, DEPTHS = (".png", ".jpg", ".jpeg"), (".png", ".npy")


@dataclass(frozen=True)
class Declaration:
    """Where the files are, and the unit of their depth."""

    frames: str
    depth: str
    metres_per_unit: float

    def __post_init__(self) -> None:
        if not 0 < self.metres_per_unit < 1e3:
            raise BadInputError(
                f"{DECLARATION}: metres_per_unit {self.metres_per_unit} is not a scale; 0.001 is millimetres"
            )


def matches(root: Path) -> bool:
    """Whether the folder holds the declaration."""
    return (root / DECLARATION).is_file()


def splits(root: Path) -> tuple[str, ...]:
    """The splits that are folders among the frames; train alone where the frames lie there themselves."""
    return declared_splits(root, _declaration(root))


def open_split(root: Path, split: str) -> FrameSet:
    """The split's samples by name. Raises BadInputError when a folder is missing or a file unpaired."""
    return open_declared(root, _declaration(root), split)


def declared_splits(root: Path, declared: Declaration) -> tuple[str, ...]:
    """The splits of a pair of folders."""
    frames, _ = _folders(root, declared)
    return tuple(split for split in SPLITS if (frames / split).is_dir()) or ("train",)


def open_declared(root: Path, declared: Declaration, split: str) -> FrameSet:
    """The samples of a pair of folders. Raises as `open_split`."""
    frame_folder, depth_folder = _folders(root, declared)
    if (frame_folder / split).is_dir():
        frame_folder, depth_folder = frame_folder / split, depth_folder / split
    frames, depths = by_name(frame_folder, FRAMES), by_name(depth_folder, DEPTHS)
    check_paired(frame_folder, frames, depth_folder, depths)
    unit = declared.metres_per_unit
    how = "" if unit == 1 else f"{unit!r} m a unit"  # other metres from the same files are other data
    sources = []
    for name in in_order(frames):
        files = (frames[name], depths[name])
        sources.append(Source(name, files, partial(_read, name, *files, unit), how=how))
    return FrameSet(root, split, sources)


def _declaration(root: Path) -> Declaration:
    path = root / DECLARATION
    return records.loads(Declaration, read_small(path), str(path))


def _folders(root: Path, declared: Declaration) -> tuple[Path, Path]:
    frames, depth = (inside(root, name, root / DECLARATION, 1) for name in (declared.frames, declared.depth))
    return frames, depth


def _read(name: str, frame_file: Path, depth_file: Path, metres_per_unit: float) -> Sample:
    frame = read_frame(frame_file)
    depth = read_depth_npy(depth_file) if depth_file.suffix.lower() == ".npy" else read_levels(depth_file).values
    check_same_size(frame_file, frame, depth_file, depth.shape)
    return sample_of(name, frame, depth * np.float32(metres_per_unit))
