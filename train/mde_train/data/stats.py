"""What a guess without looking scores: one depth for every pixel, or the mean depth of each pixel.

A network that does not beat the mean image has learnt nothing but where the ground is.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mde_runtime.errors import BadInputError
from mde_runtime.progress import progress
from mde_runtime.protocols import Accumulator, Figures, open_protocol
from mde_runtime.protocols.seed import network_size_truth
from mde_train.data.samples import FrameSet

SEED_PROTOCOLS = ("seed", "seed-raw")  # these see truth clipped and resized; the others as it is on disk


@dataclass(frozen=True, eq=False)
class MeanDepth:
    """The mean over the frames of a split, of the depth that the protocol sees."""

    image_m: npt.NDArray[np.float64]  # (H, W): of each pixel, over the frames where it is valid
    constant_m: float  # of all valid pixels
    num_frames: int


@dataclass(frozen=True)
class Baseline:
    """A guess, and how it scores."""

    guess: str
    figures: Figures


def mean_depth(samples: FrameSet, protocol: str) -> MeanDepth:
    """The mean of every depth map of a split, at the protocol's size.

    Raises BadInputError when the maps differ in size and the protocol does not bring them to one.
    """
    total_m: npt.NDArray[np.float64] | None = None
    count: npt.NDArray[np.int64] | None = None
    with progress(f"mean of {samples.split}", total=len(samples)) as advance:
        for sample in samples:
            seen_m = network_size_truth(sample.depth_m) if protocol in SEED_PROTOCOLS else sample.depth_m
            if total_m is None or count is None:
                total_m, count = np.zeros(seen_m.shape), np.zeros(seen_m.shape, np.int64)
            if seen_m.shape != total_m.shape:
                raise BadInputError(f"{samples.root}: frame {sample.name} differs in size; there is no mean image")
            total_m += seen_m
            count += seen_m > 0
            advance()
    if total_m is None or count is None:
        raise BadInputError(f"{samples.root}: no frame in {samples.split}")
    return MeanDepth(total_m / np.maximum(count, 1), float(total_m.sum() / count.sum()), len(samples))


def baselines(judged: FrameSet, mean: MeanDepth, protocol: str, constants_m: tuple[float, ...]) -> list[Baseline]:
    """How the mean, the mean image and each further constant score on a split."""
    guesses = {
        "mean image": mean.image_m,
        f"mean, {mean.constant_m:.6f} m": np.full_like(mean.image_m, mean.constant_m),
    }
    for constant_m in constants_m:
        guesses[f"constant {constant_m:g} m"] = np.full_like(mean.image_m, constant_m)
    accumulators: dict[str, Accumulator] = {guess: open_protocol(protocol) for guess in guesses}
    with progress(f"judging on {judged.split}", total=len(judged)) as advance:
        for sample in judged:
            for guess, depth_m in guesses.items():
                accumulators[guess].add(depth_m, sample.depth_m)
            advance()
    return [Baseline(guess, accumulator.result()) for guess, accumulator in accumulators.items()]
