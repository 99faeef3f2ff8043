"""Baselines that never look at a frame: one depth for every pixel, or the mean depth of each pixel.

A network that does not beat the mean image has learnt nothing but where the ground is.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mde_runtime.errors import BadInputError
from mde_runtime.progress import progress
from mde_runtime.protocols import open_protocol
from mde_runtime.protocols.figures import Figures
from mde_runtime.protocols.seed import FAR_M, network_size_truth
from mde_train.data.samples import FrameSet

SEED_PROTOCOLS = ("seed", "seed-raw")  # these see truth clipped and resized, and mask none of it; the others as on disk


@dataclass(frozen=True, eq=False)
class MeanDepth:
    """The mean over the frames of a split, of the depth that the protocol sees."""

    image_m: npt.NDArray[np.float64] | None  # (H, W), as `mean_image`; None: sizes differ
    constant_m: float  # of all valid pixels
    num_frames: int


@dataclass(frozen=True)
class Baseline:
    """A guess, and how it scores."""

    guess: str
    figures: Figures


def mean_depth(samples: FrameSet, protocol: str) -> MeanDepth:
    """The mean of every depth map of a split, at the protocol's size."""
    sums_m: dict[tuple[int, ...], npt.NDArray[np.float64]] = {}
    counts: dict[tuple[int, ...], npt.NDArray[np.int64]] = {}
    with progress(f"mean of {samples.split}", total=len(samples)) as advance:
        for sample in samples:
            seen_m = network_size_truth(sample.depth_m) if protocol in SEED_PROTOCOLS else sample.depth_m
            sums_m.setdefault(seen_m.shape, np.zeros(seen_m.shape))
            counts.setdefault(seen_m.shape, np.zeros(seen_m.shape, np.int64))
            sums_m[seen_m.shape] += seen_m
            counts[seen_m.shape] += seen_m > 0
            advance()
    num_valid = sum(int(count.sum()) for count in counts.values())
    if not num_valid:
        raise BadInputError(f"{samples.root}: no depth in {samples.split}; there is no mean")
    image_m = None
    if len(sums_m) == 1:
        ((shape, sum_m),) = sums_m.items()
        image_m = mean_image(sum_m, counts[shape])
    return MeanDepth(image_m, sum(float(sum_m.sum()) for sum_m in sums_m.values()) / num_valid, len(samples))


def mean_image(total_m: npt.NDArray[np.float64], count: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Each pixel's mean, of its sum over the frames that measured it and their number; (H, W) each.

    A pixel that no frame measured gets the mean of all that were: 0 m would be a guess that nobody makes.
    """
    everywhere_m = total_m.sum() / max(count.sum(), 1)
    return np.where(count > 0, total_m / np.maximum(count, 1), everywhere_m)


def farthest_m(protocol: str) -> float:
    """The depth that a protocol clips all truth to: a sky of 100 m is 20 m to it, in a mean as well."""
    return FAR_M if protocol in SEED_PROTOCOLS else np.inf


def baselines(judged: FrameSet, mean: MeanDepth, protocol: str, constants_m: tuple[float, ...]) -> list[Baseline]:
    """How the mean image, the mean, and each further constant score on a split."""
    guesses_m: dict[str, npt.NDArray[np.float64] | float] = {} if mean.image_m is None else {"mean image": mean.image_m}
    guesses_m[f"mean, {mean.constant_m:.6f} m"] = mean.constant_m
    guesses_m.update({f"constant {constant_m:g} m": constant_m for constant_m in constants_m})
    accumulators = {guess: open_protocol(protocol) for guess in guesses_m}
    with progress(f"judging on {judged.split}", total=len(judged)) as advance:
        for sample in judged:
            for guess, depth_m in guesses_m.items():
                whole_m = np.full(sample.depth_m.shape, depth_m) if isinstance(depth_m, float) else depth_m
                accumulators[guess].add(whole_m, sample.depth_m)
            advance()
    return [Baseline(guess, accumulator.result()) for guess, accumulator in accumulators.items()]
