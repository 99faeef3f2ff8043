"""The frames that a run is judged on: some of a split, evenly spaced, so that they tell of all of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mde_bench.timing.worker_process import FRAMES
from mde_runtime import files
from mde_runtime.contract import FromNetwork, SourceFrame
from mde_runtime.errors import BadInputError, UsageError
from mde_runtime.evenly_spaced import evenly_spaced

if TYPE_CHECKING:
    from mde_train.data import FrameSet, Sample


MAX_PIXELS = 2**27  # of all frames: a gigabyte with their truth, and half of one for each candidate's depth


@dataclass(frozen=True)
class Excerpt:
    """Which frames: so many, evenly spaced over a split. split None: the last, which training does not see."""

    data: Path
    split: str | None
    num_frames: int


@dataclass(frozen=True, eq=False)
class Scene:
    """The frames of a run with their ground truth, in the split's order."""

    split: str
    num_frames_in_split: int
    sha256: str  # of the whole split
    names: tuple[str, ...]
    colour: str  # rgb or bgr: the contract's, and the frames'
    frames: npt.NDArray[np.uint8]  # (N, H, W, 3)
    truth_m: npt.NDArray[np.float32]  # (N, H, W)
    valid: npt.NDArray[np.bool_]  # (N, H, W)

    @property
    def rgb(self) -> npt.NDArray[np.uint8]:
        """The frames in the order of colours that pictures have."""
        return self.frames if self.colour == "rgb" else self.frames[..., ::-1]

    def truth_within(self, contract: FromNetwork) -> npt.NDArray[np.float32]:
        """The truth clipped to the range that the model can say: sky at 100 m is 20 m to a model of 0-20 m."""
        return np.clip(self.truth_m, contract.near_m, contract.far_m)


def open_scene(excerpt: Excerpt, source: SourceFrame, max_pixels: int = MAX_PIXELS) -> Scene:
    """Read the frames. Raises UsageError for none of them, and for more than memory is meant for."""
    if excerpt.num_frames < 1:
        raise UsageError(f"{excerpt.num_frames} frames cannot be judged; use 1 or more")
    frame_set = held_out(excerpt.data, excerpt.split)
    num_frames = min(excerpt.num_frames, len(frame_set))
    if num_frames > (most := max_pixels // (source.height_px * source.width_px)):
        raise UsageError(
            f"{num_frames} frames of {source.height_px}x{source.width_px} px are too many to hold at once; use "
            f"{most} or fewer, or judge all of a split with mde-bench accuracy, which holds one at a time"
        )
    samples = [frame_set[index] for index in evenly_spaced(len(frame_set), num_frames)]
    return Scene(
        split=frame_set.split,
        num_frames_in_split=len(frame_set),
        sha256=frame_set.sha256,
        names=tuple(sample.name for sample in samples),
        colour=source.colour,
        frames=np.stack([as_the_camera_gives_it(sample, source) for sample in samples]),
        truth_m=np.stack([sample.depth_m for sample in samples]),
        valid=np.stack([sample.valid for sample in samples]),
    )


def put_frames(folder: Path, frames: npt.NDArray[np.uint8]) -> None:
    """Lay frames (N, H, W, 3) where the workers of `folder` read them."""
    with files.replacing(folder / FRAMES) as draft:
        np.save(draft, frames, allow_pickle=False)


def protocol_for(data: Path, protocol: str) -> str:
    """The protocol that is named, or for `auto` the one of the data set's layout."""
    from mde_train.data import protocol_of

    return protocol_of(data, protocol)


def held_out(data: Path, split: str | None) -> "FrameSet":
    """A split of a data set; None: the last, which training does not see. Raises BadInputError when it is empty."""
    from mde_train.data import open_split, splits_of

    if split is None:
        split = (splits_of(data) or ("val",))[-1]
    frame_set = open_split(data, split)
    if not len(frame_set):
        raise BadInputError(f"{data}: the split {split!r} holds no frame")
    return frame_set


def as_the_camera_gives_it(sample: "Sample", source: SourceFrame) -> npt.NDArray[np.uint8]:
    """A sample's frame in the contract's colour order. Raises BadInputError when it is of another size."""
    height_px, width_px, _ = sample.frame.shape
    if (height_px, width_px) != (source.height_px, source.width_px):
        raise BadInputError(
            f"{sample.name}: the frame has {height_px}x{width_px} px, the model takes "
            f"{source.height_px}x{source.width_px} px; export it for this size with mde-export --source-size"
        )
    in_order = sample.frame if source.colour == "rgb" else sample.frame[..., ::-1]
    return np.array(in_order, order="C")  # a copy of its own: a reader's array may be read-only, which torch warns of
