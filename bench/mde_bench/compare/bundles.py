"""Two bundles in one interleaved run: is the new one slower, and how small a change could have been seen?

Both are launched anew again and again, side by side, and every launch gives one log ratio: where a process lands in
memory moves its speed by a per cent or so for as long as it lives, so calls of one launch, however many, do not tell
two equal bundles apart from two unequal ones. After 11, 15, 21, 28 and 36 launches (effort normal) we check whether the
interval is decisive; the first look at which it is ends the comparison. The interval is Wilcoxon's, which single
disturbed launches do not spoil.
Sources: Kalibera and Jones, ISMM 2013 (levels of repetition); Wilcoxon, Biometrics Bulletin 1945; Jennison and
Turnbull, Group Sequential Methods, 1999 (repeated intervals).
"""

import math
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from mde_bench.accuracy.frames import put_frames
from mde_bench.timing.candidates import Candidate, bundle_candidate, bundle_candidates, named
from mde_bench.timing.effort import NORMAL, Effort, Launches, Rounds
from mde_bench.timing.interleave import measure_in_turns
from mde_bench.timing.samples import Samples
from mde_bench.timing.statistics import Interval, Ratio, signed_ranks
from mde_bench.timing.worker import AbsentError, CandidateError, Worker
from mde_runtime.bundle import read_bundle
from mde_runtime.errors import BadInputError, MachineError, MeasurementError, VerdictError
from mde_runtime.machine import this_machine
from mde_runtime.progress import progress

Clock = Callable[[Samples], Sequence[int]]  # which of a call's times is compared
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Launch:
    """One launch of both bundles: their medians in seconds, and the log of new over old in the middle of its rounds."""

    new_s: float
    old_s: float
    log_ratio: float


@dataclass(frozen=True)
class Comparison:
    """One backend and precision, new against old."""

    name: str
    new_p50_s: float
    old_p50_s: float
    ratio: Ratio  # new over old, with the interval of its effort's level
    ratios: tuple[float, ...]  # of each launch; empty against a baseline, which has only one
    rule_out: float | None  # a change larger than this share is to be ruled out; None against a baseline

    @property
    def verdict(self) -> Literal["slower", "faster", "no difference seen", "undecided"]:
        """Different only where the whole interval is; undecided where it holds both 1 and what was to be ruled out."""
        low, high = self.ratio.interval.low, self.ratio.interval.high
        if low > 1 or high < 1:
            return "slower" if low > 1 else "faster"
        is_ruled_out = self.rule_out is None or 1 / (1 + self.rule_out) < low <= high < 1 + self.rule_out
        return "no difference seen" if is_ruled_out else "undecided"

    @property
    def smallest_seen(self) -> float:
        """The smallest share s for which 1 + s and 1 / (1 + s) times the old time would both have been seen.

        An interval moves with its centre: a slower one leaves 1 by its lower arm, a faster one by its upper arm, so the
        longer arm decides.
        """
        low, high = self.ratio.interval.low, self.ratio.interval.high
        return max(self.ratio.value / low, high / self.ratio.value) - 1

    def __str__(self) -> str:
        low, high = self.ratio.interval.low, self.ratio.interval.high
        return (
            f"{self.name}: {self.verdict}; {self.ratio.value:.3f} times the time ({low:.3f} to {high:.3f}), "
            f"{self.new_p50_s * 1e3:.4g} ms against {self.old_p50_s * 1e3:.4g} ms; "
            f"a change of {self.smallest_seen:.1%} in either direction would have shown"
        )


@dataclass(frozen=True)
class Comparisons:
    """All that could be compared, and what could not, with the reason."""

    comparisons: tuple[Comparison, ...]
    left_out: dict[str, str]
    effort: str  # a row of `mde_bench.timing.effort`
    false_alarm_share: float | None  # of comparisons of equal bundles, at most; None against a baseline

    @property
    def stated(self) -> str:
        """The effort, and the false alarms that it admits."""
        if self.false_alarm_share is None:
            return f"effort {self.effort}"
        return f"effort {self.effort}: equal bundles are called different in {self.false_alarm_share:.1%} at most"


def compare_bundles(
    new: Path,
    old: Path,
    num_threads: int | None,
    clock: Clock,
    rule_out: float,
    effort: Effort = NORMAL,
    only: Sequence[str] = (),
    tell: Tell = lambda _: None,
) -> Comparisons:
    """Compare every backend and precision that both bundles have and that runs here, on the new one's golden frames.

    only: patterns of candidates' names. tell: called with a line of progress. Raises VerdictError when one fails,
    MachineError when nothing can be compared.
    """
    num_threads = num_threads or this_machine().num_cores
    bundle, other = read_bundle(new), read_bundle(old)
    if bundle.contract.source != other.contract.source:
        raise BadInputError(f"{old}: takes different frames than {new}; compare bundles for the same source size")
    frames = bundle.golden().frames
    found: list[Comparison] = []
    left_out: dict[str, str] = {}
    shared = [each for each in bundle_candidates(bundle, num_threads) if each.precision in other.precisions]
    for ours in named(shared, only):
        theirs = bundle_candidate(old, ours.backend, ours.precision, num_threads)
        try:
            found.append(compare(ours, theirs, frames, clock, rule_out, effort.launches, tell))
        except AbsentError as error:
            left_out[ours.name] = str(error)
        except CandidateError as error:
            raise VerdictError(f"{ours.name}: {error}") from error
    if not found:
        raise MachineError(f"{new}: nothing in it runs on this machine: {'; '.join(left_out.values())}")
    return Comparisons(tuple(found), left_out, effort.name, effort.launches.false_alarm_share)


def compare(
    new: Candidate,
    old: Candidate,
    frames: npt.NDArray[np.uint8],
    clock: Clock,
    rule_out: float,
    launches: Launches = NORMAL.launches,
    tell: Tell = lambda _: None,
) -> Comparison:
    """Launch and measure both, side by side, until it is decided or the looks end.

    Raises CandidateError when one fails, AbsentError where it cannot run, MeasurementError where the clock is too
    coarse for its calls.
    """
    sides = {"new": replace(new, name="new"), "old": replace(old, name="old")}
    rng = np.random.default_rng()  # another order in every comparison, or its effect would be the same in all
    with (
        tempfile.TemporaryDirectory(prefix="mde-bench-") as name,
        progress(f"comparing {new.name}", launches.looks[-1]) as advance,
    ):
        folder = Path(name)
        put_frames(folder, frames)

        def launch() -> Launch:
            made = _launch(sides, folder, clock, launches.rounds, rng)
            advance()
            return made

        return decide(new.name, launch, launches, rule_out, tell)


def decide(
    name: str, launch: Callable[[], Launch], launches: Launches, rule_out: float, tell: Tell = lambda _: None
) -> Comparison:
    """Launch until a look decides, or the looks end."""
    made = [launch()]  # what cannot run here says so before anything is announced
    looks = dict.fromkeys((launches.looks[0], launches.looks[-1]))
    tell(f"{name}: comparing, {' to '.join(map(str, looks))} launches")
    for num_launches in launches.looks:
        while len(made) < num_launches:
            made.append(launch())
        found = _comparison(name, made, launches.level, rule_out)
        low, high = found.ratio.interval.low, found.ratio.interval.high
        tell(f"{name}: {found.verdict} after {num_launches} launches ({low:.4f} to {high:.4f})")
        if found.verdict != "undecided":
            break
    return found


def _comparison(name: str, made: Sequence[Launch], level: float, rule_out: float) -> Comparison:
    log_ratios = np.array([launch.log_ratio for launch in made])
    centre, interval = signed_ranks(log_ratios, level)
    return Comparison(
        name=name,
        new_p50_s=float(np.median([launch.new_s for launch in made])),
        old_p50_s=float(np.median([launch.old_s for launch in made])),
        ratio=Ratio(math.exp(centre), Interval(math.exp(interval.low), math.exp(interval.high))),
        ratios=tuple(float(value) for value in np.exp(log_ratios)),
        rule_out=rule_out,
    )


def _launch(
    sides: dict[str, Candidate], folder: Path, clock: Clock, rounds: Rounds, rng: np.random.Generator
) -> Launch:
    with ExitStack() as stack:
        # The one that starts first may find a quieter machine: each side is first in about half of the launches.
        order = [str(name) for name in rng.permutation(["new", "old"])]
        workers = {name: stack.enter_context(Worker(sides[name], folder)) for name in order}
        for name, worker in workers.items():
            _open(name, worker)
        window = measure_in_turns(workers, rounds, rng)
    for name, reason in window.failures.items():
        raise CandidateError(f"the {name} bundle: {reason}")
    new_s, old_s = (_round_medians_s(window.samples[name], clock) for name in ("new", "old"))
    if not min(new_s.min(), old_s.min()) > 0:
        raise MeasurementError(
            "calls took no time at all by this system's clock, whose ticks are too long; compare wall time, without "
            "--cpu-time"
        )
    # Within a round the machine is the same for both; over a launch its clock moves by more than what is looked for.
    return Launch(float(np.median(new_s)), float(np.median(old_s)), float(np.median(np.log(new_s / old_s))))


def _round_medians_s(samples: Samples, clock: Clock) -> npt.NDArray[np.float64]:
    times, rounds = np.asarray(clock(samples)), np.asarray(samples.round)
    return np.array([np.median(times[rounds == number]) / 1e9 for number in np.unique(rounds)])


def wall(samples: Samples) -> Sequence[int]:
    """The time that a user waits."""
    return samples.wall_ns


def processor(samples: Samples) -> Sequence[int]:
    """The time that all threads computed: what else runs on the machine does not count in it."""
    return samples.cpu_ns


def _open(side: str, worker: Worker) -> None:
    try:
        worker.opened()
    except AbsentError:
        raise
    except CandidateError as error:
        raise CandidateError(f"the {side} bundle: {error}") from error
