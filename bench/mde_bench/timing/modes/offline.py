"""Throughput of batches: how many frames per second, however long one of them waits."""

from dataclasses import dataclass

import numpy as np

from mde_bench.timing.modes import ModeSettings
from mde_bench.timing.statistics import NUM_RESAMPLES, Interval, interval
from mde_bench.timing.worker import Worker

BATCH_SIZE = 8
NUM_BATCHES = 10
SEED = 0
HEADINGS = ("frames/s", "from", "to", "batch size", "batches")


@dataclass(frozen=True)
class Offline:
    """Batches back to back."""

    batch_size: int
    num_batches: int
    frames_per_s: float
    interval_per_s: Interval


def measure(worker: Worker, settings: ModeSettings) -> Offline:  # noqa: ARG001  # a mode's signature
    """Time batches. Raises CandidateError when the candidate fails."""
    worker.batch(BATCH_SIZE)  # buffers of this size are made at the first
    seconds = np.asarray([worker.batch(BATCH_SIZE) / 1e9 for _ in range(NUM_BATCHES)])
    draws = np.random.default_rng(SEED).choice(seconds, (NUM_RESAMPLES, NUM_BATCHES))
    rates = BATCH_SIZE / draws.mean(axis=1)
    return Offline(BATCH_SIZE, NUM_BATCHES, BATCH_SIZE / float(seconds.mean()), interval(rates))


def in_words(found: Offline) -> str:
    """One line."""
    span = found.interval_per_s
    return (
        f"offline: {found.frames_per_s:.4g} frames/s ({span.low:.4g} to {span.high:.4g}), batches of {found.batch_size}"
    )


def rows(found: Offline) -> list[tuple[float | None, ...]]:
    """The figures under HEADINGS."""
    span = found.interval_per_s
    return [(found.frames_per_s, span.low, span.high, found.batch_size, found.num_batches)]
