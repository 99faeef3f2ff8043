"""Filters of each frame's scale over time, tried on rendered drives: does one lower flicker, and what does it cost?

    .venv/bin/python -m lab.steadying model.mde

The scale of a frame against the one before is the median over all pixels of ln(depth / depth before). A filter smooths
its sum and multiplies the whole frame by what is left; so no pixels of two frames are ever mixed. It begins anew where
the scale jumps (a cut, or large motion), and corrects by 5 % at most.
"""

import itertools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mde_bench.accuracy.anatomy import Flicker
from mde_runtime import DepthEstimator, metrics
from mde_train.data.synth.drive import make_drive
from mde_train.data.synth.frames import Kind

Maps = list[npt.NDArray[np.float32]]
Correction = Callable[[Sequence[float]], float]  # of the newest of the scales so far, as a logarithm
NUM_DRIVES, NUM_FRAMES = 10, 30
CUT, MOST = 0.1, 0.05  # logarithms: of a jump at which the filter begins anew, and of its correction


def main(bundle: Path) -> None:
    """Print flicker and RMSE after each filter, as shares of those before."""
    kinds: tuple[Kind, ...] = ("streets", "rooms")
    with DepthEstimator.open(bundle) as estimate:
        for kind in kinds:
            shares: dict[str, list[tuple[float, float]]] = {name: [] for name in FILTERS}
            befores = []
            for index in range(NUM_DRIVES):
                drive = make_drive(0, index, NUM_FRAMES, kind=kind)
                truths = [np.clip(frame.depth_m, *estimate.range_m) for frame in drive]
                depths = [estimate(frame.frame) for frame in drive]
                before = _judged(depths, truths, estimate.range_m[1])
                befores.append(before)
                for name, correction in FILTERS.items():
                    after = _judged(_filtered(depths, correction), truths, estimate.range_m[1])
                    shares[name].append((after[0] / before[0], after[1] / before[1]))
            flicker_m, rmse_m = np.mean(befores, axis=0)
            sys.stdout.write(f"{kind}: flicker {flicker_m:.3f} m, RMSE {rmse_m:.3f} m before, {NUM_DRIVES} drives\n")
            for name, found in shares.items():
                flicker, rmse = np.mean(found, axis=0)
                sys.stdout.write(f"  {name}: flicker x {flicker:.3f}, RMSE x {rmse:.3f}\n")


def _judged(depths: Maps, truths: Maps, far_m: float) -> tuple[float, float]:
    flicker, rmse_m = Flicker(far_m), []
    for depth_m, truth_m in zip(depths, truths, strict=True):
        valid = np.ones(depth_m.shape, bool)
        flicker.add(depth_m, truth_m, valid)
        rmse_m.append(metrics.rmse(depth_m, truth_m, valid))
    return flicker.mean_m() or 0.0, float(np.mean(rmse_m))


def _filtered(depths: Maps, correction: Correction) -> Maps:
    filtered, scales = depths[:1], [0.0]
    for before, depth_m in itertools.pairwise(depths):
        change = float(np.median(np.log(np.maximum(depth_m, 0.1) / np.maximum(before, 0.1))))
        scales = [0.0] if abs(change) > CUT else [*scales, scales[-1] + change]
        gain = np.exp(np.clip(correction(scales), -MOST, MOST))
        filtered = [*filtered, depth_m * np.float32(gain)]
    return filtered


def _exponential(share: float) -> Correction:
    """Towards the exponential mean, in which the newest frame has this share."""

    def correction(scales: Sequence[float]) -> float:
        mean = scales[0]
        for scale in scales[1:]:
            mean += share * (scale - mean)
        return mean - scales[-1]

    return correction


def _line(length: int) -> Correction:
    """Onto the straight line through the last frames: steady motion has no lag."""

    def correction(scales: Sequence[float]) -> float:
        last = np.array(scales[-length:])
        if len(last) < 3:
            return 0.0
        return float(np.polyfit(np.arange(len(last)) - len(last) + 1, last, 1)[1] - last[-1])

    return correction


FILTERS: dict[str, Correction] = {
    "exponential, 0.3": _exponential(0.3),
    "exponential, 0.5": _exponential(0.5),
    "exponential, 0.7": _exponential(0.7),
    "line over 5": _line(5),
    "line over 8": _line(8),
}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
