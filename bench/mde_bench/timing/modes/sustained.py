"""Minutes of load: calls back to back until the machine is as hot as it gets. The last third counts."""

from collections.abc import Sequence
from dataclasses import dataclass

from mde_bench.machine.conditions import Moment, moment
from mde_bench.timing.modes import ModeSettings
from mde_bench.timing.statistics import percentile
from mde_bench.timing.worker import Worker

SLICE_S = 1.0  # between two checks of the clock
HELD_SHARE = 0.05  # slower than this in the last third, and a run is said to slow down
HEADINGS = ("minute", "p50 ms", "p99 ms", "calls", "clock GHz", "temperature °C", "throttled so far")


@dataclass(frozen=True)
class Minute:
    """One minute of a sustained run; times end to end."""

    p50_s: float
    p99_s: float
    num_calls: int
    at_its_end: Moment


@dataclass(frozen=True)
class Sustained:
    """All minutes, and what they come down to."""

    minutes: tuple[Minute, ...]
    last_third_p99_s: float
    slower_than_first: float  # median of the last third over that of the first minute

    @property
    def verdict(self) -> str:
        """Whether the last third is as fast as the first minute."""
        return "keeps its speed" if self.slower_than_first <= 1 + HELD_SHARE else "slows down"


def measure(worker: Worker, settings: ModeSettings) -> Sustained:
    """Call for so many minutes. Raises CandidateError when the candidate fails."""
    by_minute: list[list[int]] = []
    ends: list[Moment] = []
    num_minutes = max(1, round(settings.minutes))
    length_s = 60 * settings.minutes / num_minutes
    for _ in range(num_minutes):
        wall_ns: list[int] = []
        spent_s = 0.0
        while spent_s < length_s:
            calls = worker.block(min(SLICE_S, length_s), 1, follows_on=True)
            wall_ns += [call.wall_ns for call in calls]
            spent_s += sum(call.wall_ns for call in calls) / 1e9
        by_minute.append(wall_ns)
        ends.append(moment())
    return sustained_figures(by_minute, ends)


def sustained_figures(by_minute: Sequence[Sequence[int]], ends: Sequence[Moment]) -> Sustained:
    """The figures of the wall times, in nanoseconds, of every minute."""
    minutes = tuple(
        Minute(percentile(wall_ns, 0.5) / 1e9, percentile(wall_ns, 0.99) / 1e9, len(wall_ns), end)
        for wall_ns, end in zip(by_minute, ends, strict=True)
    )
    last = [wall_ns for minute in by_minute[-max(1, len(by_minute) // 3) :] for wall_ns in minute]
    return Sustained(minutes, percentile(last, 0.99) / 1e9, percentile(last, 0.5) / 1e9 / minutes[0].p50_s)


def in_words(found: Sustained) -> str:
    """One line."""
    return (
        f"sustained for {len(found.minutes)} min: {found.verdict}; last third p99 "
        f"{found.last_third_p99_s * 1e3:.4g} ms, median {found.slower_than_first:.2f} times that of the first minute"
    )


def rows(found: Sustained) -> list[tuple[float | None, ...]]:
    """A row a minute under HEADINGS, with the clock and the heat of the GPU where there is one."""
    return [
        (number, minute.p50_s * 1e3, minute.p99_s * 1e3, minute.num_calls, *_state(minute.at_its_end))
        for number, minute in enumerate(found.minutes, 1)
    ]


def _state(at: Moment) -> tuple[float | None, float | None, int | None]:
    """Clock, temperature and throttling."""
    seen = at.gpu or at
    return None if seen.clock_hz is None else seen.clock_hz / 1e9, seen.temperature_c, at.num_throttled
