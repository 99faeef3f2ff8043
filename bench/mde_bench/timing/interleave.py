"""Candidates measured in turns, so that whatever the machine does meanwhile hits all of them alike.

A round gives every candidate one block of calls, in an order that is drawn anew each time. A window is as many rounds
as the figures need; a window in which nobody drifted is the measurement, and one that drifted is measured again.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from mde_bench.timing.samples import Call, Samples
from mde_bench.timing.statistics import latency, percentile
from mde_bench.timing.worker import CandidateError

Value = TypeVar("Value")

SETTLED_SHARE = 0.10  # of the median: more drift than this, or a wider interval, and the window is not valid
THINK_TIME_S = 0.005  # between blocks: the last candidate's threads stop spinning (onnxruntime's and OpenMP's do)


@dataclass(frozen=True)
class Effort:
    """How long is measured. The defaults give every candidate at least 3 s and 50 calls."""

    num_rounds: int = 25
    block_s: float = 0.12
    min_calls: int = 2  # in a block
    max_windows: int = 3
    max_warm_up_s: float = 5.0  # of each candidate
    max_s: float = 80.0  # of all windows together: on a busy machine what was measured by then has to do
    min_rounds: int = 8  # are measured all the same: fewer give no interval


class Measurable(Protocol):
    """Something that times its own calls when asked to."""

    def block(self, seconds: float, min_calls: int) -> list[Call]:
        """Timed calls for so long, and no fewer than so many. Raises CandidateError when it fails."""
        ...


@dataclass(frozen=True)
class Window:
    """A window of rounds: the samples of each candidate by name, why those that failed did, and what never settled."""

    samples: dict[str, Samples]
    failures: dict[str, str]
    unsettled: dict[str, str]  # candidate to what is wrong with its figures; empty: the measurement is valid
    num_discarded: int  # windows that were measured before this one and thrown away


def measure(
    candidates: Mapping[str, Measurable],
    effort: Effort,
    rng: np.random.Generator,
    on_round: Callable[[], None] = lambda: None,
) -> Window:
    """Warm every candidate up, then measure windows until one settles, or the last that is allowed."""
    running, failures = dict(candidates), dict[str, str]()
    for name in candidates:
        _attempt(name, running, failures, lambda it: _warm_up(it, effort))
    start, num_windows, unsettled, seconds = time.monotonic(), 0, {"": ""}, 0.0
    while unsettled and num_windows < effort.max_windows and time.monotonic() - start + seconds < effort.max_s:
        began = time.monotonic()
        samples = _window(running, failures, effort, rng, start + effort.max_s, on_round)
        unsettled = {name: problem for name in samples if (problem := _problem(samples[name], effort, rng))}
        num_windows, seconds = num_windows + 1, time.monotonic() - began
    return Window(samples, failures, unsettled, num_windows - 1)


def _problem(samples: Samples, effort: Effort, rng: np.random.Generator) -> str | None:
    if (num_rounds := len(set(samples.round))) < effort.num_rounds:
        return f"time was up after {num_rounds} of {effort.num_rounds} rounds"
    return unsettled_because(samples, rng)


def unsettled_because(samples: Samples, rng: np.random.Generator) -> str | None:
    """Why these samples are no measurement, or None where they are one."""
    wall_ns, rounds = np.asarray(samples.wall_ns), np.asarray(samples.round)
    figures = latency(wall_ns, samples.round, rng)
    thirds = np.array_split(np.unique(rounds), 3)
    medians = [percentile(wall_ns[np.isin(rounds, third)], 0.5) / 1e9 for third in thirds if len(third)]
    drift = (max(medians) - min(medians)) / figures.p50_s
    if drift > SETTLED_SHARE:
        return f"its median moved by {drift:.0%} within the run"
    width = figures.p50_interval_s.width / figures.p50_s
    if width > SETTLED_SHARE:
        return f"the interval of its median is {width:.0%} wide"
    return None


def _window(
    running: dict[str, Measurable],
    failures: dict[str, str],
    effort: Effort,
    rng: np.random.Generator,
    end: float,
    on_round: Callable[[], None],
) -> dict[str, Samples]:
    blocks: dict[str, list[list[Call]]] = {name: [] for name in running}
    for number in range(effort.num_rounds):
        if number >= effort.min_rounds and time.monotonic() > end:
            break
        for name in rng.permutation(sorted(running)):
            time.sleep(THINK_TIME_S)
            block = _attempt(name, running, failures, lambda it: it.block(effort.block_s, effort.min_calls))
            blocks[name].append(block or [])
        on_round()
    return {name: Samples.of(blocks[name]) for name in blocks if name in running}


def _warm_up(candidate: Measurable, effort: Effort) -> None:
    """Run until a block is no faster than the fastest before it by 2 %: clocks are up, caches and arenas are filled."""
    fastest, end = float("inf"), time.monotonic() + effort.max_warm_up_s
    while time.monotonic() < end:
        block = candidate.block(2 * effort.block_s, effort.min_calls)
        median = percentile([call.wall_ns for call in block], 0.5)
        if median > 0.98 * fastest:
            return
        fastest = min(fastest, median)


def _attempt(
    name: str, running: dict[str, Measurable], failures: dict[str, str], do: Callable[[Measurable], Value]
) -> Value | None:
    """Do something with a candidate that is running; None, and it is taken out and its reason kept, when it fails."""
    try:
        return do(running[name])
    except CandidateError as error:
        failures[name] = str(error)
        del running[name]
        return None
