"""Data sets of frames with depth: any layout on disk, one kind of sample in memory. numpy and Pillow, no torch."""

from pathlib import Path

from mde_runtime.errors import BadInputError
from mde_runtime.nearest import did_you_mean
from mde_runtime.protocols import AUTO
from mde_train.data.arrays import FrameArrays, load_arrays
from mde_train.data.crop import crop_of
from mde_train.data.layouts import layout_of, name_of_layout
from mde_train.data.samples import FrameSet, Sample, Skipped
from mde_train.data.split import SPLIT_FILE, own_split
from mde_train.layout_table import LAYOUTS

__all__ = [
    "FrameArrays",
    "FrameSet",
    "Sample",
    "Skipped",
    "layout_of",
    "load_arrays",
    "name_of_layout",
    "open_split",
    "protocol_of",
    "splits_of",
]


def protocol_of(root: Path, protocol: str = AUTO) -> str:
    """The protocol of accuracy for a data set: the one that is named, or for `auto` its layout's."""
    return LAYOUTS[name_of_layout(root)].protocol if protocol == AUTO else protocol


def splits_of(root: Path) -> tuple[str, ...]:
    """The splits that a data set holds, training first, the held-out one last. Raises BadInputError without any."""
    splits = layout_of(root).splits(root)
    if not splits:
        raise BadInputError(
            f"{root}: holds neither train nor val; mde-data check --help shows how each layout lies on disk"
        )
    return splits if own_split(root) is None else (splits[0], "val", *splits[1:])


def open_split(root: Path, split: str, *, keep_bad_frames: bool = False) -> FrameSet:
    """The samples of one split, in the data set's own order, cut to one size where the data set says so.

    Frames whose depth cannot be depth are left out and named in `.skipped`, unless keep_bad_frames.
    Raises BadInputError, in one line that names the file, when the data set is not what its layout says.
    """
    layout, held_out, crop = layout_of(root), own_split(root), crop_of(root)
    splits = splits_of(root)
    if split not in splits:
        raise BadInputError(f"{root}: no split {split!r}{did_you_mean(split, splits)}; it holds {', '.join(splits)}")
    if held_out is None or split not in (splits[0], "val"):
        samples = layout.open_split(root, split)
    else:
        samples = held_out.part(layout.open_split(root, splits[0]), split)
    if not keep_bad_frames:
        samples = samples.without_doubtful()
    if not samples:
        if not samples.skipped:  # a layout without frames has told so by now
            raise BadInputError(f"{root / SPLIT_FILE}: leaves no frame for {split}; remove it and run mde-data split")
        first = samples.skipped[0]
        raise BadInputError(f"{root}: every frame of {split} is left out; the first is {first.name}, {first.reason}")
    return crop.of(samples) if crop else samples
