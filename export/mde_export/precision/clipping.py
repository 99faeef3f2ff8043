"""Ranges of a network's activations, and the values at which INT8 clips them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from mde_export.graph.canonical import to_bytes
from mde_export.graph.stages import FRAME
from mde_export.judge.evidence import ManyFrames
from mde_export.judge.execute import Executor, side_by_side
from mde_export.precision.ranges import largest_magnitudes

NUM_BINS, NUM_LEVELS = 2048, 128  # of |x|; INT8 has 127 steps on either side of 0
BIN_STEP = 16  # every so many bins a clip is tried


@dataclass(frozen=True)
class Histogram:
    """How often |x| of a tensor fell into each of NUM_BINS equal bins up to the largest."""

    largest: float
    counts: npt.NDArray[np.int64]


def histograms(
    model: ir.Model, names: Sequence[str], frames: ManyFrames, advance: Callable[[], None] = lambda: None
) -> dict[str, Histogram]:
    """The histogram of each named tensor of the graph over the frames. advance: called twice a frame."""
    largest = largest_magnitudes(model, frames, names, advance)
    watched = model.clone()
    values = {value.name: value for node in watched.graph for value in node.outputs}
    watched.graph.outputs.extend(values[name] for name in names)
    session = Executor(to_bytes(watched), literal=True)
    counts = {name: np.zeros(NUM_BINS, np.int64) for name in names}

    def counted(index: int) -> dict[str, npt.NDArray[np.int64]]:
        answer = session.run({FRAME: frames[index : index + 1]})
        return {name: _counts(answer[name], largest[name]) for name in names}

    for of_frame in side_by_side(counted, len(frames)):
        for name in names:
            counts[name] += of_frame[name]
        advance()
    return {name: Histogram(largest[name], counts[name]) for name in names}


def by_max(seen: Histogram) -> float:
    """Clip nothing."""
    return seen.largest


def by_entropy(seen: Histogram) -> float:
    """Clip where the clipped and quantised distribution tells least apart from the true one: least KL divergence.

    Source: S. Migacz, 8-bit inference with TensorRT, GTC 2017.
    """
    best, best_divergence = seen.largest, np.inf
    for num_kept in range(NUM_LEVELS, NUM_BINS + 1, BIN_STEP):
        divergence = _divergence(seen.counts, num_kept)
        if divergence < best_divergence:
            best, best_divergence = seen.largest * num_kept / NUM_BINS, divergence
    return best


METHODS: dict[str, Callable[[Histogram], float]] = {"max": by_max, "entropy": by_entropy}


def _counts(values: npt.NDArray[np.float32], largest: float) -> npt.NDArray[np.int64]:
    if largest == 0.0:
        return np.zeros(NUM_BINS, np.int64)
    bins = np.minimum((np.abs(values.ravel()) * (NUM_BINS / largest)).astype(np.int32), NUM_BINS - 1)
    return np.bincount(bins, minlength=NUM_BINS)


def _divergence(counts: npt.NDArray[np.int64], num_kept: int) -> float:
    """KL(true || quantised) when what is beyond the first num_kept bins is clipped onto the last of them."""
    kept = counts[:num_kept].astype(np.float64)
    true = kept.copy()
    true[-1] += counts[num_kept:].sum()
    level = np.arange(num_kept) * NUM_LEVELS // num_kept
    is_used = kept > 0
    per_level = np.bincount(level, kept, NUM_LEVELS) / np.maximum(np.bincount(level, is_used, NUM_LEVELS), 1)
    quantised = np.where(is_used, per_level[level], 0.0)
    compared = (true > 0) & (quantised > 0)
    if not true.sum() or not quantised.sum():
        return float("inf")
    p, q = true / true.sum(), quantised / quantised.sum()
    lost = p[(true > 0) & ~(quantised > 0)].sum()  # clipped onto a bin that was empty: as good as lost
    return float(np.sum(p[compared] * np.log(p[compared] / q[compared])) + lost * 10)
