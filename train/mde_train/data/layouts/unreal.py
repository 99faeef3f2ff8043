"""The layout of DepthEstimationUnreal: rgb/{train,val}/N.jpeg and depth/{train,val}/N.npy, float32 metres, z-depth.

Frames of any size. Where nothing was measured the depth is 0; NaN and Inf are errors.
"""

from functools import partial
from pathlib import Path

import numpy as np

from mde_runtime.errors import BadInputError
from mde_train.data.images import check_same_size, read_depth_npy, read_frame
from mde_train.data.samples import FrameSet, Sample, Skipped, Source

# The recorder of the original data wrote a brightness picture (0.09 to 0.79) in place of the depth of each recording's
# first frame. The smallest maximum of any true map there is 4.79 m, so the rule has room on both sides.
BAD_FRAME_BELOW_M = 1.0


def matches(root: Path) -> bool:
    """Whether the folder has this layout, or half of it: what is missing is named when a split is opened."""
    return any((root / kind).is_dir() for kind in ("rgb", "depth"))


def splits(root: Path) -> tuple[str, ...]:
    """The splits that the folder holds, training first."""
    return tuple(
        split for split in ("train", "val") if any((root / kind / split).is_dir() for kind in ("rgb", "depth"))
    )


def open_split(root: Path, split: str, *, keep_bad_frames: bool) -> FrameSet:
    """The split's samples in numeric order. Reads every depth map once, to find the bad frames.

    Raises BadInputError when a folder is missing or empty, or a frame has no depth or a depth no frame.
    """
    frame_folder, depth_folder = root / "rgb" / split, root / "depth" / split
    frames, depths = _by_name(frame_folder, ".jpeg"), _by_name(depth_folder, ".npy")
    _check_paired(frame_folder, frames, depths, ".npy")
    _check_paired(depth_folder, depths, frames, ".jpeg")
    sources, skipped = [], []
    for name in sorted(frames, key=_order):
        highest_m = float(read_depth_npy(depths[name]).max())
        if highest_m < BAD_FRAME_BELOW_M and not keep_bad_frames:
            skipped.append(Skipped(name, f"its highest depth is {highest_m:.2f} m: not a depth map"))
        else:
            files = (frames[name], depths[name])
            sources.append(Source(name, files, partial(_read, name, *files)))
    if not sources:
        raise BadInputError(f"{depth_folder}: every depth map stays below {BAD_FRAME_BELOW_M} m; the unit is metres")
    return FrameSet(root, split, sources, skipped)


def _read(name: str, frame_file: Path, depth_file: Path) -> Sample:
    frame, depth_m = read_frame(frame_file), read_depth_npy(depth_file)
    check_same_size(frame_file, frame, depth_file, depth_m.shape)
    valid = depth_m > 0
    return Sample(name, frame, np.where(valid, depth_m, np.float32(0)), valid)


def _order(name: str) -> tuple[float, str]:
    """Numbers by their value, then whatever is not a number."""
    return (int(name) if name.isdecimal() else float("inf"), name)


def _by_name(folder: Path, suffix: str) -> dict[str, Path]:
    if not folder.is_dir():
        raise BadInputError(f"{folder}: no such folder; the layout is rgb/train, rgb/val, depth/train, depth/val")
    files = {path.stem: path for path in folder.iterdir() if path.suffix == suffix and not path.name.startswith(".")}
    if not files:
        raise BadInputError(f"{folder}: no {suffix} file; is the data set unpacked?")
    return files


def _check_paired(folder: Path, these: dict[str, Path], others: dict[str, Path], suffix: str) -> None:
    lonely = sorted(set(these) - set(others), key=_order)
    if lonely:
        raise BadInputError(
            f"{folder}: {len(lonely)} of {len(these)} files have no {suffix} beside them, the first is {lonely[0]}; "
            "copy the data set anew, or remove them"
        )
