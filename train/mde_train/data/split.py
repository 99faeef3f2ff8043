"""Hold frames out of a data set that has no validation split: whole blocks of a drive, never random frames.

Neighbours in a drive are near-duplicates. A random split would put one in training and the next in validation, and the
figures would be those of memory. The split is a file beside the data, `split.json`; nothing is moved.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mde_runtime import records
from mde_runtime.errors import BadInputError, UsageError
from mde_runtime.files import read_small, write_text
from mde_train.data.layouts import layout_of
from mde_train.data.samples import FrameSet, Skipped

SPLIT_FILE = "split.json"
NUM_HELDOUT = 64  # that a checkpoint carries: what an export is certified on
MOST_BLOCKS, GAP_FRAMES = 4, 10
MOST_GAP_SHARE = 0.1  # of all frames: what goes to neither split


@dataclass(frozen=True)
class Block:
    """Held-out frames, from the first to the last, both included."""

    first: str
    last: str

    def place(self, names: Sequence[str]) -> range | None:
        """Where it lies among the names; None where an end is not there, or the last comes before the first."""
        position = {name: index for index, name in enumerate(names)}
        begin, end = position.get(self.first, -1), position.get(self.last, -1) + 1
        return range(begin, end) if 0 <= begin < end else None


@dataclass(frozen=True)
class Split:
    """Which frames of the training split are held out: `split.json`."""

    val: tuple[Block, ...]
    gap_frames: int  # on both sides of a block, in neither split: they look like the block's ends

    def __post_init__(self) -> None:
        if self.gap_frames < 0:  # held-out frames would be trained on
            raise BadInputError(f"{SPLIT_FILE}: gap_frames {self.gap_frames}; use 0 or more")

    def part(self, samples: FrameSet, split: str) -> FrameSet:
        """The training or the validation part of a training split. Raises BadInputError when a block is not there."""
        is_val, is_near = np.zeros(len(samples), np.bool_), np.zeros(len(samples), np.bool_)
        for block in self.val:
            found = block.place(samples.names)
            if found is None:
                raise BadInputError(
                    f"{samples.root / SPLIT_FILE}: no frames {block.first} to {block.last} here; "
                    "remove it and run mde-data split"
                )
            is_val[found.start : found.stop] = True
            is_near[max(0, found.start - self.gap_frames) : found.stop + self.gap_frames] = True
        if split == "val":
            return samples.picked(np.flatnonzero(is_val).tolist(), split=split)
        gap = [Skipped(samples.names[index], "beside held-out frames") for index in np.flatnonzero(is_near & ~is_val)]
        return samples.picked(np.flatnonzero(~is_near).tolist(), gap)


def own_split(root: Path) -> Split | None:
    """The data set's own split, or None: its layout brings a validation split, or it has none."""
    path = root / SPLIT_FILE
    return records.loads(Split, read_small(path), str(path)) if root.is_dir() and path.exists() else None


def hold_out(root: Path, val_share: float, num_blocks: int | None = None, gap_frames: int | None = None) -> Split:
    """Hold out blocks spread evenly over the training split, and write that down beside the data.

    num_blocks, gap_frames None: as `default_blocks` and `default_gap` say.

    Raises UsageError when the data set has a validation split already or no training split, or the blocks do not fit.
    """
    layout = layout_of(root)
    splits = layout.splits(root)
    if "val" in splits or splits[:1] != ("train",):
        raise UsageError(
            f"{root}: its layout holds {', '.join(splits) or 'no split'}; only a data set with train and without val "
            "can be split"
        )
    names = layout.open_split(root, splits[0]).names
    num_blocks = num_blocks or default_blocks(len(names))
    gap_frames = default_gap(len(names), num_blocks) if gap_frames is None else gap_frames
    held_out = blocks_of(names, val_share, num_blocks, gap_frames)
    write_text(root / SPLIT_FILE, records.dumps(held_out))
    return held_out


def default_blocks(num_frames: int) -> int:
    """As many stretches, up to four, as let the gaps beside them keep their length and take their share at most."""
    return max(1, min(MOST_BLOCKS, round(num_frames * MOST_GAP_SHARE) // (2 * GAP_FRAMES)))


def default_gap(num_frames: int, num_blocks: int) -> int:
    """Frames on both sides of each stretch: ten, or fewer where they would take more than their share."""
    return min(GAP_FRAMES, int(num_frames * MOST_GAP_SHARE / (2 * num_blocks)))


def blocks_of(names: Sequence[str], val_share: float, num_blocks: int, gap_frames: int) -> Split:
    """Blocks of these frames, spread evenly. Raises UsageError when they would not fit."""
    if not 0 < val_share < 1:
        raise UsageError(f"a share of {val_share} cannot be held out; use more than 0 and less than 1")
    length = round(len(names) * val_share / num_blocks)
    period = len(names) / num_blocks
    if length < 1 or length + 2 * gap_frames >= period:
        raise UsageError(
            f"{len(names)} frames do not hold {num_blocks} blocks of {val_share:.0%} in all with {gap_frames} frames "
            "on both sides of each; ask for fewer blocks, a smaller share or a smaller gap"
        )
    starts = [round(block * period + (period - length) / 2) for block in range(num_blocks)]
    return Split(tuple(Block(names[start], names[start + length - 1]) for start in starts), gap_frames)
