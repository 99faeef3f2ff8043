"""Frames of one size out of a data set whose frames differ by a few pixels, as KITTI's do: `cut.json` beside the data.

The middle columns and the lowest rows stay, since a street's frame has its sky at the top. Pixels are left out and none
is resized, so that focal length and depth are what they were; the principal point moves by half of the columns and all
of the rows that are gone.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mde_runtime import files, records
from mde_runtime.contract import MAX_SIDE_PX
from mde_runtime.errors import BadInputError
from mde_train.data.samples import FrameSet, Sample

CROP_FILE = "cut.json"


@dataclass(frozen=True)
class Crop:
    """The size that every frame of a data set is cut to: `cut.json`."""

    height_px: int
    width_px: int

    def __post_init__(self) -> None:
        if not all(1 <= side <= MAX_SIDE_PX for side in (self.height_px, self.width_px)):
            raise BadInputError(f"{CROP_FILE}: {self.height_px}x{self.width_px} px; each side is 1 to {MAX_SIDE_PX} px")

    def of(self, samples: FrameSet) -> FrameSet:
        """The samples, each cut when it is read."""
        how = f"cut to {self.height_px}x{self.width_px} px"
        return samples.read_through(lambda sample: self._of_one(sample, samples.root), how)

    def _of_one(self, sample: Sample, root: Path) -> Sample:
        height_px, width_px = sample.depth_m.shape
        if height_px < self.height_px or width_px < self.width_px:
            raise BadInputError(
                f"{root}: frame {sample.name} has {height_px}x{width_px} px, too few for {self.height_px}x"
                f"{self.width_px} px; {advice(root, [sample.depth_m.shape, (self.height_px, self.width_px)])}"
            )
        left = (width_px - self.width_px) // 2
        seen = (slice(height_px - self.height_px, None), slice(left, left + self.width_px))
        return Sample(sample.name, sample.frame[seen], sample.depth_m[seen], sample.valid[seen])


def crop_of(root: Path) -> Crop | None:
    """The data set's crop, or None: its frames are taken as they are."""
    path = root / CROP_FILE
    return records.loads(Crop, files.read_small(path), str(path)) if root.is_dir() and path.exists() else None


def advice(root: Path, sizes: Iterable[tuple[int, ...]]) -> str:
    """What to do about frames of these sizes (height, width), in words."""
    least = dict(zip(("height_px", "width_px"), map(min, zip(*sizes, strict=True)), strict=True))
    return f"to train on frames of one size, cut them: write {json.dumps(least)} to {root / CROP_FILE}"
