"""KITTI with split lists: {train,val,test}_files.txt in the root, beside the drives' folders.

A line is `image depth [focal]`, both from the root, depth `None` where the frame has none; or `drive index side`, the
side `l` or `r`, with the image at drive/image_0{2,3}/data/INDEX and the depth where KITTI's depth benchmark unpacks to.
Depth is a 16-bit PNG, metres = value / 256, and 0 is no measurement: the laser covers about a twentieth of the pixels.
Frames differ by a few pixels in size from drive to drive.
"""

from functools import partial
from pathlib import Path

import numpy as np

from mde_runtime.errors import BadInputError
from mde_runtime.frame_lists import file_inside, read_lines
from mde_runtime.numbers import shown, whole
from mde_train.data.images import check_same_size, read_frame, read_levels
from mde_train.data.samples import FrameSet, Sample, Skipped, Source, sample_of

SPLITS = ("train", "val", "test")
METRES_PER_LEVEL = 1 / 256
CAMERA_OF_SIDE = {"l": "image_02", "r": "image_03"}
# The benchmark's archive has its drives in train and val, whatever the list's split.
DEPTH_FOLDERS = ("", "train", "val")


def matches(root: Path) -> bool:
    """Whether the folder holds one of the lists."""
    return any(_list(root, split).is_file() for split in SPLITS)


def splits(root: Path) -> tuple[str, ...]:
    """The splits that have a list."""
    return tuple(split for split in SPLITS if _list(root, split).is_file())


def open_split(root: Path, split: str) -> FrameSet:
    """The split's samples in the order of its list; frames without ground truth are left out and named."""
    sources, skipped = [], []
    for number, line in read_lines(_list(root, split)):
        name, frame_file, depth_file = _files(root, _list(root, split), number, line.split())
        if depth_file is None:
            skipped.append(Skipped(name, "no ground truth"))
        else:
            sources.append(Source(name, (frame_file, depth_file), partial(_read, name, frame_file, depth_file)))
    return FrameSet(root, split, sources, skipped)


def _files(root: Path, listed_in: Path, number: int, parts: list[str]) -> tuple[str, Path, Path | None]:
    """A line's name, image, and depth where it has one."""
    if len(parts) == 3 and parts[1].isdecimal() and parts[2] in CAMERA_OF_SIDE:
        drive, camera = file_inside(root, parts[0], listed_in, number).relative_to(root), CAMERA_OF_SIDE[parts[2]]
        index = _index(parts[1], listed_in, number)
        frame_name = f"{drive.as_posix()}/{camera}/data/{index}"
        frame = root / f"{frame_name}.png"
        depth = _depth(root, Path(drive.name) / "proj_depth" / "groundtruth" / camera / f"{index}.png")
        return frame_name, frame if frame.exists() else frame.with_suffix(".jpg"), depth
    if len(parts) not in (2, 3):
        raise BadInputError(f"{listed_in}, line {number}: neither `image depth [focal]` nor `drive index side`")
    frame = file_inside(root, parts[0], listed_in, number)
    name = str(Path(parts[0]).with_suffix("").as_posix())
    if parts[1] == "None":
        return name, frame, None
    return name, frame, _depth(root, file_inside(root, parts[1], listed_in, number).relative_to(root))


def _index(text: str, listed_in: Path, number: int) -> str:
    try:
        return f"{whole(text):010d}"
    except ValueError as error:
        raise BadInputError(
            f"{listed_in}, line {number}: {shown(text)} is not a frame number; fix this line"
        ) from error


def _depth(root: Path, name: Path) -> Path | None:
    return next((root / folder / name for folder in DEPTH_FOLDERS if (root / folder / name).is_file()), None)


def _list(root: Path, split: str) -> Path:
    return root / f"{split}_files.txt"


def _read(name: str, frame_file: Path, depth_file: Path) -> Sample:
    frame, levels = read_frame(frame_file), read_levels(depth_file)
    if levels.num_bits != 16:
        raise BadInputError(f"{depth_file}: {levels.num_bits} bits; KITTI's depth has 16. Is it a picture of it?")
    check_same_size(frame_file, frame, depth_file, levels.values.shape)
    return sample_of(name, frame, levels.values * np.float32(METRES_PER_LEVEL))
