"""Data sets of frames with depth: any layout on disk, one kind of sample in memory. numpy and Pillow, no torch."""

from pathlib import Path

from mde_runtime.errors import BadInputError
from mde_train.data.arrays import FrameArrays, load_arrays
from mde_train.data.layouts import LAYOUTS, layout_of
from mde_train.data.samples import FrameSet, Sample, Skipped

__all__ = ["LAYOUTS", "FrameArrays", "FrameSet", "Sample", "Skipped", "load_arrays", "open_split", "splits_of"]


def splits_of(root: Path) -> tuple[str, ...]:
    """The splits that a data set holds, training first."""
    return layout_of(root).splits(root)


def open_split(root: Path, split: str, *, keep_bad_frames: bool = False) -> FrameSet:
    """The samples of one split, in the data set's own order.

    Frames whose depth cannot be depth are left out and named in `.skipped`, unless keep_bad_frames.
    Raises BadInputError, in one line that names the file, when the data set is not what its layout says.
    """
    layout = layout_of(root)
    splits = layout.splits(root)
    if split not in splits:
        raise BadInputError(f"{root}: no split {split!r}; it holds {', '.join(splits) or 'none'}")
    return layout.open_split(root, split, keep_bad_frames=keep_bad_frames)
