"""Frames that arrive at a steady rate: the latency that a robot sees, from arrival to depth."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mde_bench.timing.modes import ModeSettings
from mde_bench.timing.samples import Arrival
from mde_bench.timing.statistics import Latency, latency
from mde_bench.timing.worker import Worker

LENGTH_S = 5.0
NUM_STRETCHES = 25  # of time, in place of rounds: the interval resamples them
SEED = 0
HEADINGS = ("frames per second", "frames", "late", "dropped", "p50 ms", "p99 ms")


@dataclass(frozen=True)
class Paced:
    """What became of the frames."""

    fps: float
    num_frames: int
    num_late: int  # answered after the next frame's arrival, or dropped: deadline misses
    num_dropped: int  # not answered at all, because a newer frame was there
    latency: Latency | None  # of those that were answered; None: not one was


def measure(worker: Worker, settings: ModeSettings) -> Paced:
    """Let frames arrive for a while. Raises CandidateError when the candidate fails."""
    return paced_figures(worker.paced(LENGTH_S, settings.fps), settings.fps)


def paced_figures(arrivals: Sequence[Arrival], fps: float) -> Paced:
    """The figures of frames that arrived fps times a second."""
    answered = [arrival.latency_ns for arrival in arrivals if arrival.latency_ns is not None]
    num_dropped = len(arrivals) - len(answered)
    num_late = num_dropped + sum(latency_ns > 1e9 / fps for latency_ns in answered)
    stretches = [number * NUM_STRETCHES // len(answered) for number in range(len(answered))]
    figures = latency(answered, stretches, np.random.default_rng(SEED)) if answered else None
    return Paced(fps, len(arrivals), num_late, num_dropped, figures)


def in_words(found: Paced) -> str:
    """One line."""
    late = f"{found.num_late} of {found.num_frames} late, {found.num_dropped} of them dropped"
    times = f"p50 {found.latency.p50_s * 1e3:.4g}, p99 {found.latency.p99_s * 1e3:.4g} ms" if found.latency else ""
    return f"paced at {found.fps:g} frames/s: {late}; {times}"


def rows(found: Paced) -> list[tuple[float | None, ...]]:
    """The figures under HEADINGS."""
    times = (found.latency.p50_s * 1e3, found.latency.p99_s * 1e3) if found.latency else (None, None)
    return [(found.fps, found.num_frames, found.num_late, found.num_dropped, *times)]
