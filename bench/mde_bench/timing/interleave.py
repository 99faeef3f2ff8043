"""Interleaved measurement: candidates in turns, so that whatever the machine does meanwhile hits all of them alike.

A round gives every candidate one block of calls, in an order that is drawn anew each time. A window is as many rounds
as the figures need; a window in which nobody drifted is the measurement, and one that drifted is measured again.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from mde_bench.timing.effort import Rounds
from mde_bench.timing.samples import Call, Samples
from mde_bench.timing.statistics import latency, percentile
from mde_bench.timing.worker import CandidateError

Running = TypeVar("Running")
Value = TypeVar("Value")

THINK_TIME_S = 0.005  # between blocks: the last candidate's threads stop spinning (onnxruntime's and OpenMP's do)


class Measurable(Protocol):
    """Something that times its own calls when asked to."""

    def block(self, seconds: float, min_calls: int) -> list[Call]:
        """Timed calls for so long, and no fewer than so many. Raises CandidateError when it fails."""
        ...


class Time(Protocol):
    """Time as the module `time` keeps it."""

    def monotonic(self) -> float:
        """Seconds since some moment."""
        ...

    def sleep(self, seconds: float, /) -> None:
        """Let so many seconds pass."""
        ...


@dataclass(frozen=True)
class Window:
    """A window of rounds: the samples of each candidate by name, why those that failed did, and what never settled."""

    samples: dict[str, Samples]
    failures: dict[str, str]
    unsettled: dict[str, str]  # candidate to what is wrong with its figures; empty: the measurement is valid
    num_discarded: int  # windows that were measured before this one and thrown away

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it is not valid, candidates with the same problem together; empty where it is valid."""
        by_problem: dict[str, list[str]] = {}
        for name, problem in self.unsettled.items():
            by_problem.setdefault(problem, []).append(name)
        return tuple(f"{', '.join(names)}: {problem}" for problem, names in by_problem.items())


def measure_in_turns(
    candidates: Mapping[str, Measurable],
    rounds: Rounds,
    rng: np.random.Generator,
    advance: Callable[[], None] = lambda: None,
    clock: Time = time,
) -> Window:
    """Warm every candidate up, then measure windows until one settles, or the last that is allowed.

    advance: called after every round.
    """
    running = dict(candidates)
    failures: dict[str, str] = {}
    for name in candidates:
        attempt(name, running, failures, lambda it: _warm_up(it, rounds, clock))
    start, num_windows = clock.monotonic(), 0
    while True:
        began = clock.monotonic()
        samples = _window(running, failures, rounds, rng, advance, clock, end=start + rounds.max_s)
        unsettled = {name: problem for name in samples if (problem := _problem(samples[name], rounds, rng))}
        now, num_windows = clock.monotonic(), num_windows + 1
        is_last = num_windows == rounds.max_windows or now - start + (now - began) >= rounds.max_s
        if is_last or not unsettled:
            return Window(samples, failures, unsettled, num_windows - 1)


def attempt(
    name: str, running: dict[str, Running], failures: dict[str, str], do: Callable[[Running], Value]
) -> Value | None:
    """Do something with a candidate that is running; None, and it is taken out and its reason kept, when it fails."""
    try:
        return do(running[name])
    except CandidateError as error:
        failures[name] = str(error)
        del running[name]
        return None


def unsettled_because(samples: Samples, settled_share: float, rng: np.random.Generator) -> str | None:
    """Why these samples are no measurement, or None where they are one."""
    wall_ns, rounds = np.asarray(samples.wall_ns), np.asarray(samples.round)
    figures = latency(wall_ns, samples.round, rng)
    thirds = np.array_split(np.unique(rounds), 3)
    medians = [percentile(wall_ns[np.isin(rounds, third)], 0.5) / 1e9 for third in thirds if len(third)]
    drift = (max(medians) - min(medians)) / figures.p50_s
    if drift > settled_share:
        return f"its median moved by {drift:.0%} within the run"
    width = figures.p50_interval_s.width / figures.p50_s
    if width > settled_share:
        return f"the interval of its median is {width:.0%} wide"
    return None


def _problem(samples: Samples, rounds: Rounds, rng: np.random.Generator) -> str | None:
    if (num_rounds := len(set(samples.round))) < rounds.num_rounds:
        return f"time ran out after {num_rounds} of {rounds.num_rounds} rounds"
    return unsettled_because(samples, rounds.settled_share, rng)


def _window(
    running: dict[str, Measurable],
    failures: dict[str, str],
    rounds: Rounds,
    rng: np.random.Generator,
    advance: Callable[[], None],
    clock: Time,
    end: float,
) -> dict[str, Samples]:
    blocks: dict[str, list[list[Call]]] = {name: [] for name in running}
    for number in range(rounds.num_rounds):
        if number >= rounds.min_rounds and clock.monotonic() > end:
            break
        for name in rng.permutation(sorted(running)):
            clock.sleep(THINK_TIME_S)
            block = attempt(name, running, failures, lambda it: it.block(rounds.block_s, rounds.min_calls))
            blocks[name].append(block or [])
        advance()
    return {name: Samples.of(blocks[name]) for name in blocks if name in running}


def _warm_up(candidate: Measurable, rounds: Rounds, clock: Time) -> None:
    """Run until a block is no faster than the fastest before it by 2 %: clocks are up, caches and arenas are filled."""
    fastest, end = float("inf"), clock.monotonic() + rounds.max_warm_up_s
    while clock.monotonic() < end:
        block = candidate.block(2 * rounds.block_s, rounds.min_calls)
        median = percentile([call.wall_ns for call in block], 0.5)
        if median > 0.98 * fastest:
            return
        fastest = min(fastest, median)
