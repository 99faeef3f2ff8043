"""What single calls back to back do not tell: throughput of batches, frames that come from a camera, heat.

Each is asked for (`--mode`), and each candidate is measured alone, one after the other: these are not for telling
candidates apart by a per cent, which is what the interleaved single stream is for.
"""

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mde_bench.machine.conditions import Moment, moment
from mde_bench.timing.samples import Arrival
from mde_bench.timing.statistics import Interval, Latency, interval, latency, percentile
from mde_bench.timing.worker import Worker

Mode = Literal["offline", "paced", "sustained"]
BATCH_SIZE = 8
NUM_BATCH_ROUNDS = 10
PACED_S = 5.0
SEED = 0
SLICE_S = 1.0  # of a sustained run between two looks at the clock
HELD_SHARE = 0.05  # slower than this in the last third, and a sustained run is said to slow down


@dataclass(frozen=True)
class Asked:
    """The modes that are wanted beside the single stream, and what they need to know."""

    modes: tuple[Mode, ...] = ()
    fps: float = 30.0
    minutes: float = 15.0
    only: tuple[str, ...] = ("*",)  # candidates by name; the modes of the others are not measured

    def concerns(self, name: str) -> bool:
        """Whether a candidate is among those that were asked for."""
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in self.only)


@dataclass(frozen=True)
class Offline:
    """Batches back to back: how many frames a second, however long one of them waits."""

    batch_size: int
    num_batches: int
    frames_per_s: float
    interval_per_s: Interval


@dataclass(frozen=True)
class Paced:
    """Frames that arrive at a steady rate: the latency that a robot sees, from arrival to depth."""

    fps: float
    num_frames: int
    num_late: int  # answered after the next frame's arrival, or dropped: deadline misses
    num_dropped: int  # not answered at all, because a newer frame was there
    latency: Latency | None  # of those that were answered; None: not one was


@dataclass(frozen=True)
class Minute:
    """One minute of a sustained run; times end to end."""

    p50_s: float
    p99_s: float
    num_calls: int
    at_its_end: Moment


@dataclass(frozen=True)
class Sustained:
    """Calls back to back until the machine is as hot as it gets. What counts is the last third."""

    minutes: tuple[Minute, ...]
    last_third_p99_s: float
    slower_than_first: float  # median of the last third over that of the first minute

    @property
    def verdict(self) -> str:
        """Whether the last third is as fast as the first minute."""
        return "keeps its speed" if self.slower_than_first <= 1 + HELD_SHARE else "slows down"


@dataclass(frozen=True)
class ModeFigures:
    """What the modes that were asked for found; None where one was not."""

    offline: Offline | None
    paced: Paced | None
    sustained: Sustained | None


def measure_modes(worker: Worker, asked: Asked) -> ModeFigures:
    """Measure a candidate in every mode that was asked for. Raises CandidateError when it fails."""
    return ModeFigures(
        offline=_offline(worker) if "offline" in asked.modes else None,
        paced=paced_figures(worker.paced(PACED_S, asked.fps), asked.fps) if "paced" in asked.modes else None,
        sustained=_sustained(worker, asked.minutes) if "sustained" in asked.modes else None,
    )


def paced_figures(arrivals: Sequence[Arrival], fps: float) -> Paced:
    """The figures of frames that arrived fps times a second."""
    answered = [arrival.latency_ns for arrival in arrivals if arrival.latency_ns is not None]
    num_dropped = len(arrivals) - len(answered)
    num_late = num_dropped + sum(latency_ns > 1e9 / fps for latency_ns in answered)
    rounds = [number * 25 // len(answered) for number in range(len(answered))]  # stretches of time, for the interval
    figures = latency(answered, rounds, np.random.default_rng(SEED)) if answered else None
    return Paced(fps, len(arrivals), num_late, num_dropped, figures)


def sustained_figures(minutes: Sequence[Sequence[int]], ends: Sequence[Moment]) -> Sustained:
    """The figures of the wall times, in nanoseconds, of every minute."""
    kept = [
        Minute(percentile(wall_ns, 0.5) / 1e9, percentile(wall_ns, 0.99) / 1e9, len(wall_ns), end)
        for wall_ns, end in zip(minutes, ends, strict=True)
    ]
    last = [wall_ns for minute in minutes[-max(1, len(minutes) // 3) :] for wall_ns in minute]
    return Sustained(tuple(kept), percentile(last, 0.99) / 1e9, percentile(last, 0.5) / 1e9 / kept[0].p50_s)


def _offline(worker: Worker) -> Offline:
    worker.batch(BATCH_SIZE)  # buffers of this size are made at the first
    seconds = np.asarray([worker.batch(BATCH_SIZE) / 1e9 for _ in range(NUM_BATCH_ROUNDS)])
    draws = np.random.default_rng(SEED).choice(seconds, (2000, NUM_BATCH_ROUNDS))
    rates = BATCH_SIZE / draws.mean(axis=1)
    return Offline(BATCH_SIZE, NUM_BATCH_ROUNDS, BATCH_SIZE / float(seconds.mean()), interval(rates))


def _sustained(worker: Worker, minutes: float) -> Sustained:
    by_minute: list[list[int]] = []
    ends: list[Moment] = []
    num_minutes = max(1, round(minutes))
    length_s = 60 * minutes / num_minutes
    for _ in range(num_minutes):
        wall_ns: list[int] = []
        spent_s = 0.0
        while spent_s < length_s:
            calls = worker.block(min(SLICE_S, length_s), 1)
            wall_ns += [call.wall_ns for call in calls]
            spent_s += sum(call.wall_ns for call in calls) / 1e9
        by_minute.append(wall_ns)
        ends.append(moment())
    return sustained_figures(by_minute, ends)


def in_words(name: str, found: ModeFigures) -> list[str]:
    """What the modes found of a candidate, one line each."""
    lines = []
    if found.offline:
        rate, span = found.offline.frames_per_s, found.offline.interval_per_s
        lines.append(
            f"{name}, offline: {rate:.4g} frames/s ({span.low:.4g} to {span.high:.4g}), batches of {BATCH_SIZE}"
        )
    if found.paced:
        paced = found.paced
        times = f"p50 {paced.latency.p50_s * 1e3:.4g}, p99 {paced.latency.p99_s * 1e3:.4g} ms" if paced.latency else ""
        late = f"{paced.num_late} of {paced.num_frames} late, {paced.num_dropped} of them dropped"
        lines.append(f"{name}, paced at {paced.fps:g} frames/s: {late}; {times}")
    if found.sustained:
        held = found.sustained
        lines.append(
            f"{name}, sustained for {len(held.minutes)} min: {held.verdict}; last third p99 "
            f"{held.last_third_p99_s * 1e3:.4g} ms, median {held.slower_than_first:.2f} times that of the first minute"
        )
    return lines
