"""The layout of DepthEstimationUnreal: rgb/{train,val}/N.jpeg and depth/{train,val}/N.npy, float32 metres, z-depth.

Frames of any size. Where nothing was measured the depth is 0; NaN and Inf are errors.
"""

from functools import partial
from pathlib import Path

from mde_runtime.errors import BadInputError
from mde_train.data.images import check_same_size, read_depth_npy, read_frame
from mde_train.data.paired_files import by_name, check_paired, in_order
from mde_train.data.samples import FrameSet, Sample, Source, sample_of

FRAMES, DEPTHS = (".jpeg",), (".npy",)

# The recorder of the original data wrote a brightness picture (0.09 to 0.79) in place of the depth of each recording's
# first frame. The smallest maximum of any true map there is 4.79 m, so the rule has room on both sides.
BAD_FRAME_BELOW_M = 1.0


def matches(root: Path) -> bool:
    """Whether the folder has this layout, or half of it: what is missing is named when a split is opened."""
    places = [root / "rgb" / split for split in ("train", "val")]
    files = [path for place in places if place.is_dir() for path in place.iterdir()]
    return any(path.suffix in FRAMES for path in files) or (
        (root / "rgb").is_dir() and bool(splits(root)) and not files
    )


def splits(root: Path) -> tuple[str, ...]:
    """The splits that the folder holds, training first."""
    return tuple(
        split for split in ("train", "val") if any((root / kind / split).is_dir() for kind in ("rgb", "depth"))
    )


def open_split(root: Path, split: str) -> FrameSet:
    """The split's samples in numeric order. Reads every depth map once, to find those that are none.

    Raises BadInputError when a folder is missing or empty, or a frame has no depth or a depth no frame.
    """
    frame_folder, depth_folder = root / "rgb" / split, root / "depth" / split
    frames, depths = by_name(frame_folder, FRAMES), by_name(depth_folder, DEPTHS)
    check_paired(frame_folder, frames, depth_folder, depths)
    return FrameSet(root, split, [_source(name, frames[name], depths[name]) for name in in_order(frames)])


def _source(name: str, frame_file: Path, depth_file: Path) -> Source:
    return Source(name, (frame_file, depth_file), partial(_read, name, frame_file, depth_file), _doubt(depth_file))


def _doubt(depth_file: Path) -> str:
    try:
        highest_m = float(read_depth_npy(depth_file).max())
    except BadInputError:  # raised again, by the file's name, when the frame is read: `mde-data check` names them all
        return ""
    return f"its largest depth is {highest_m:.2f} m: not a depth map" if highest_m < BAD_FRAME_BELOW_M else ""


def _read(name: str, frame_file: Path, depth_file: Path) -> Sample:
    frame, depth_m = read_frame(frame_file), read_depth_npy(depth_file)
    check_same_size(frame_file, frame, depth_file, depth_m.shape)
    return sample_of(name, frame, depth_m)
