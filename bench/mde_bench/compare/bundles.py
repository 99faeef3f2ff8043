"""Two bundles in one interleaved run: is the new one slower, and how small a change could have been seen?

Both are launched anew again and again, side by side, and every launch gives one log ratio: where a process lands in
memory moves its speed by a per cent or so for as long as it lives, so calls of one launch, however many, do not tell
two equal bundles apart from two unequal ones. After 11, 15, 21, 28 and 36 launches it is looked at whether the interval
decides; the first look at which it does ends the comparison. The interval is Wilcoxon's, which single disturbed
launches do not spoil.
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
from mde_bench.timing.candidates import Candidate, bundle_candidate, bundle_pairs
from mde_bench.timing.interleave import Effort, measure
from mde_bench.timing.samples import Samples
from mde_bench.timing.statistics import Interval, Ratio, signed_ranks
from mde_bench.timing.worker import AbsentError, CandidateError, Worker
from mde_runtime.bundle import read_bundle
from mde_runtime.errors import BadInputError, MachineError, VerdictError
from mde_runtime.machine import this_machine
from mde_runtime.progress import progress

Clock = Callable[[Samples], Sequence[int]]  # which of a call's times is compared

LOOKS = (11, 15, 21, 28, 36)  # launches after which is looked: with fewer than 11 no interval has so small a LEVEL
LEVEL = 0.001  # of each look; over all five at most 3 false alarms in 1,000 (docs/method.md)
# Of one launch. Many cheap launches see more in the same time than few long ones; one block warms up, since a first
# round that is still slow is slow for both, and one of eight does not move their median.
BRIEF = Effort(num_rounds=8, block_s=0.015, min_calls=1, max_windows=1, max_warm_up_s=0.03)


@dataclass(frozen=True)
class Comparison:
    """One backend and precision, new against old."""

    name: str
    new_p50_s: float
    old_p50_s: float
    ratio: Ratio  # new over old, with its 99.9 % interval
    ratios: tuple[float, ...]  # of each launch; empty against a baseline, which has only one
    rule_out: float | None  # a change larger than this share is to be ruled out; None against a baseline

    @property
    def verdict(self) -> Literal["slower", "faster", "no difference seen", "undecided"]:
        """Different only where the whole interval is; undecided where it holds both 1 and what was to be ruled out."""
        low, high = self.ratio.interval.low, self.ratio.interval.high
        if low > 1 or high < 1:
            return "slower" if low > 1 else "faster"
        if self.rule_out is not None and (high >= 1 + self.rule_out or low <= 1 / (1 + self.rule_out)):
            return "undecided"
        return "no difference seen"

    @property
    def smallest_seen(self) -> float:
        """The smallest change that this comparison could have seen, as a share of the old time."""
        return self.ratio.interval.high / self.ratio.value - 1

    def __str__(self) -> str:
        low, high = self.ratio.interval.low, self.ratio.interval.high
        return (
            f"{self.name}: {self.verdict}; {self.new_p50_s * 1e3:.4g} ms against {self.old_p50_s * 1e3:.4g} ms, "
            f"{self.ratio.value:.4f} times the time ({low:.4f} to {high:.4f}); "
            f"a change of {self.smallest_seen:.1%} could have been seen"
        )


@dataclass(frozen=True)
class Comparisons:
    """All that could be compared, and what could not, with the reason."""

    comparisons: tuple[Comparison, ...]
    left_out: dict[str, str]


def compare_bundles(new: Path, old: Path, num_threads: int | None, clock: Clock, rule_out: float) -> Comparisons:
    """Compare every backend and precision that both bundles have and that runs here, on the new one's golden frames.

    Raises VerdictError when one fails, MachineError when nothing can be compared.
    """
    num_threads = num_threads or this_machine().num_cores
    bundle, other = read_bundle(new), read_bundle(old)
    if bundle.contract.source != other.contract.source:
        raise BadInputError(f"{old}: takes other frames than {new}; compare bundles for the same source size")
    frames = bundle.golden().frames
    found, left_out = list[Comparison](), dict[str, str]()
    for backend, precision in bundle_pairs(bundle):
        if precision not in other.precisions:
            continue
        ours, theirs = (bundle_candidate(path, backend, precision, num_threads) for path in (new, old))
        try:
            found.append(compare(ours, theirs, frames, clock, rule_out))
        except AbsentError as error:
            left_out[ours.name] = str(error)
        except CandidateError as error:
            raise VerdictError(f"{ours.name}: {error}") from error
    if not found:
        raise MachineError(f"{new}: nothing of it runs on this machine: {'; '.join(left_out.values())}")
    return Comparisons(tuple(found), left_out)


def compare(new: Candidate, old: Candidate, frames: npt.NDArray[np.uint8], clock: Clock, rule_out: float) -> Comparison:
    """Launch and measure both, side by side, until it is decided or LOOKS end.

    Raises CandidateError when one fails, AbsentError where it cannot run.
    """
    sides = {"new": replace(new, name="new"), "old": replace(old, name="old")}
    launches = list[tuple[float, float, float]]()
    with (
        tempfile.TemporaryDirectory(prefix="mde-bench-") as folder,
        progress(f"comparing {new.name}", LOOKS[-1]) as moved_on,
    ):
        put_frames(Path(folder), frames)
        rng = np.random.default_rng()  # another order in every comparison, or its effect would be the same in all
        for num_launches in LOOKS:
            while len(launches) < num_launches:
                launches.append(_launch(sides, Path(folder), clock, rng))
                moved_on()
            found = _comparison(new.name, launches, rule_out)
            if found.verdict != "undecided":
                break
    return found


def _comparison(name: str, launches: Sequence[tuple[float, float, float]], rule_out: float) -> Comparison:
    new_s, old_s, log_ratios = np.asarray(launches).T
    centre, interval = signed_ranks(log_ratios, LEVEL)
    return Comparison(
        name=name,
        new_p50_s=float(np.median(new_s)),
        old_p50_s=float(np.median(old_s)),
        ratio=Ratio(math.exp(centre), Interval(math.exp(interval.low), math.exp(interval.high))),
        ratios=tuple(float(value) for value in np.exp(log_ratios)),
        rule_out=rule_out,
    )


def _launch(
    sides: dict[str, Candidate], folder: Path, clock: Clock, rng: np.random.Generator
) -> tuple[float, float, float]:
    """Of one launch of both: the medians in seconds, and the log of their ratio, round by round, in the middle."""
    with ExitStack() as stack:
        # The one that starts first may find a quieter machine: each side is first in about half of the launches.
        order = [str(name) for name in rng.permutation(["new", "old"])]
        workers = {name: stack.enter_context(Worker(sides[name], folder)) for name in order}
        for name, worker in workers.items():
            _open(name, worker)
        window = measure(workers, BRIEF, rng)
    for name, reason in window.failures.items():
        raise CandidateError(f"the {name} bundle: {reason}")
    new_s, old_s = (_round_medians_s(window.samples[name], clock) for name in ("new", "old"))
    # Within a round the machine is the same for both; over a launch its clock moves by more than what is looked for.
    return float(np.median(new_s)), float(np.median(old_s)), float(np.median(np.log(new_s / old_s)))


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
