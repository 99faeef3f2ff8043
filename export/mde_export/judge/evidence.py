"""The evidence that every graph of an export is judged on: frames, and the original model's depth for them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mde_export.judge.stored import Stored
from mde_export.request.choices import MIN_FRAMES
from mde_runtime.contract import Contract
from mde_runtime.errors import BadInputError, VerdictError
from mde_runtime.evenly_spaced import evenly_spaced
from mde_runtime.parity import tolerance, variation_within

# Within frames, the standard deviation at which depth tells a graph from a constant: in T, or, where the range is wide
# and the scene near, as a share of the mean depth. There R² alone judges, as a constant lies within the other limits.
MIN_VARIATION_T = 3.0
MIN_VARIATION_SHARE = 0.01
Frames = npt.NDArray[np.uint8]
Depth = npt.NDArray[np.float32]
ManyFrames = Frames | Stored[np.uint8]  # (N, H, W, 3)
ManyMaps = Depth | Stored[np.float32]  # (N, H, W)


@dataclass(frozen=True, eq=False)
class Pictures:
    """Frames to judge with, in the contract's size and colour order."""

    frames: ManyFrames
    truth_m: ManyMaps | None  # (N, H, W), true depth, 0 where nothing was measured; None: not known
    in_words: str  # where they came from, without a path
    min_count: int = MIN_FRAMES  # below which they prove nothing

    def check(self, contract: Contract) -> None:
        """Raises BadInputError unless there are enough frames of the contract's size."""
        source = contract.source
        if self.frames.shape[1:] != (source.height_px, source.width_px, 3):
            raise BadInputError(
                f"{self.in_words}: {self.frames.shape[1]}x{self.frames.shape[2]} px, the contract's frames are "
                f"{source.height_px}x{source.width_px} px; pass others with --frames DIR"
            )
        if len(self.frames) < self.min_count:
            raise BadInputError(
                f"{self.in_words}: {len(self.frames)} frames, {self.min_count} are needed; pass more with --frames DIR"
            )


@dataclass(frozen=True, eq=False)
class Evidence:
    """Pictures and the reference depth for them."""

    pictures: Pictures
    depth_m: ManyMaps  # the original model's
    reference: str  # what the original model is, in words
    contract: Contract

    def spaced(self, count: int) -> "Evidence":
        """The evidence of that many frames, evenly spaced; all of it where there are no more."""
        return self if count >= len(self.depth_m) else self.subset(evenly_spaced(len(self.depth_m), count))

    def subset(self, indices: Sequence[int]) -> "Evidence":
        """The evidence of some frames alone: for a search, never for a certificate."""
        pictures = replace(self.pictures, frames=self.pictures.frames[indices], truth_m=None)
        return replace(self, pictures=pictures, depth_m=self.depth_m[indices])


def evidence_of(
    pictures: Pictures, depth_m: ManyMaps, num_nonfinite: int, reference: str, contract: Contract
) -> Evidence:
    """The reference depth as evidence. Raises VerdictError when it could not tell a good graph from a bad one."""
    if num_nonfinite:
        raise VerdictError(
            f"{reference} itself gives {num_nonfinite} values that are NaN or Inf on the {pictures.in_words}; "
            "train it again from an earlier checkpoint"
        )
    std_m, mean_m = _within_frames(depth_m, contract)
    least_m = min(MIN_VARIATION_T * tolerance(contract.from_network), MIN_VARIATION_SHARE * mean_m)
    if not std_m >= least_m or not std_m:
        raise VerdictError(
            f"the depth of {reference} varies by {std_m:.3g} m within a frame (standard deviation, over the "
            f"{pictures.in_words}): under {MIN_VARIATION_T:g} times the tolerance of its range and under "
            f"{MIN_VARIATION_SHARE:.0%} of its mean, here {least_m:.3g} m, it is as good as constant; train longer, "
            "pass more varied frames with --frames DIR, or set a range that fits"
        )
    return Evidence(pictures, depth_m, reference, contract)


def _within_frames(depth_m: ManyMaps, contract: Contract) -> tuple[float, float]:
    """The standard deviation about each frame's own mean, and the mean of all, metres, where the network sees."""
    variation, total_m, num_pixels = 0.0, 0.0, 0
    for frame_m in depth_m:
        seen_m = frame_m[contract.seen]
        variation += variation_within(seen_m)
        total_m += float(seen_m.sum(dtype=np.float64))
        num_pixels += seen_m.size
    return math.sqrt(variation / num_pixels), total_m / num_pixels
