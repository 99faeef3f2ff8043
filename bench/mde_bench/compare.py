"""Two bundles in one interleaved run: is the new one slower, and how small a change could have been seen?

Both are launched anew NUM_LAUNCHES times, side by side, and every launch gives one ratio of medians: where a process
lands in memory moves its speed by a percent or two for as long as it lives, so calls of one launch, however many, do
not tell two equal bundles apart from two unequal ones. The interval of the mean log ratio is Student's.
Sources: Kalibera and Jones, ISMM 2013 (levels of repetition); Student, Biometrika 1908.
"""

import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from mde_bench.candidates import Candidate, bundle_candidate, bundle_pairs
from mde_bench.interleave import Effort, measure
from mde_bench.remote import AbsentError, CandidateError, Worker
from mde_bench.samples import Samples
from mde_bench.statistics import Interval, Ratio, percentile
from mde_bench.worker import FRAMES
from mde_runtime.bundle import read_bundle
from mde_runtime.errors import BadInputError, MachineError, VerdictError
from mde_runtime.machine import this_machine
from mde_runtime.progress import progress

Clock = Callable[[Samples], Sequence[int]]  # which of a call's times is compared

NUM_LAUNCHES = 10
STUDENT_T = 4.297  # 99.8 % of Student's t with NUM_LAUNCHES - 1 = 9 degrees of freedom: one false alarm in 500
BRIEF = Effort(num_rounds=5, block_s=0.06, min_calls=3, max_windows=1, max_warm_up_s=1.0)  # of one launch


@dataclass(frozen=True)
class Comparison:
    """One backend and precision, new against old."""

    name: str
    new_p50_s: float
    old_p50_s: float
    ratio: Ratio  # new over old, with its 99.8 % interval
    ratios: tuple[float, ...]  # of each launch; empty against a baseline, which has only one

    @property
    def verdict(self) -> Literal["slower", "faster", "no difference seen"]:
        """Different only where the whole interval is."""
        low, high = self.ratio.interval.low, self.ratio.interval.high
        return "slower" if low > 1 else "faster" if high < 1 else "no difference seen"

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


def compare_bundles(new: Path, old: Path, num_threads: int | None, clock: Clock) -> Comparisons:
    """Compare every backend and precision that both bundles have and that runs here, on the new one's golden frames.

    Raises VerdictError when one fails, MachineError when nothing can be compared.
    """
    num_threads = num_threads or this_machine().num_cores
    bundle, other = read_bundle(new), read_bundle(old)
    if bundle.contract.source != other.contract.source:
        raise BadInputError(f"{old}: takes other frames than {new}; compare bundles for the same source size")
    frames = bundle.golden().frames
    found, left_out = list[Comparison](), dict[str, str]()
    pairs = [pair for pair in bundle_pairs(bundle) if pair[1] in other.precisions]
    with progress("comparing", len(pairs) * NUM_LAUNCHES) as moved_on:
        for backend, precision in pairs:
            ours, theirs = (bundle_candidate(path, backend, precision, num_threads) for path in (new, old))
            try:
                found.append(compare(ours, theirs, frames, clock, on_launch=moved_on))
            except AbsentError as error:
                left_out[ours.name] = str(error)
            except CandidateError as error:
                raise VerdictError(f"{ours.name}: {error}") from error
    if not found:
        raise MachineError(f"{new}: nothing of it runs on this machine: {'; '.join(left_out.values())}")
    return Comparisons(tuple(found), left_out)


def compare(
    new: Candidate,
    old: Candidate,
    frames: npt.NDArray[np.uint8],
    clock: Clock,
    effort: Effort = BRIEF,
    on_launch: Callable[[], None] = lambda: None,
) -> Comparison:
    """Launch and measure both, side by side. Raises CandidateError when one fails, AbsentError where it cannot run."""
    sides = {"new": replace(new, name="new"), "old": replace(old, name="old")}
    medians = np.empty((NUM_LAUNCHES, 2))
    with tempfile.TemporaryDirectory(prefix="mde-bench-") as folder:
        np.save(Path(folder) / FRAMES, frames)
        for launch in range(NUM_LAUNCHES):
            medians[launch] = _launch(sides, Path(folder), clock, effort, np.random.default_rng(launch))
            on_launch()
    logs = np.log(medians[:, 0] / medians[:, 1])
    centre, half = logs.mean(), STUDENT_T * logs.std(ddof=1) / np.sqrt(NUM_LAUNCHES)
    return Comparison(
        name=new.name,
        new_p50_s=float(np.median(medians[:, 0])),
        old_p50_s=float(np.median(medians[:, 1])),
        ratio=Ratio(float(np.exp(centre)), Interval(float(np.exp(centre - half)), float(np.exp(centre + half)))),
        ratios=tuple(float(value) for value in np.exp(logs)),
    )


def _launch(
    sides: dict[str, Candidate], folder: Path, clock: Clock, effort: Effort, rng: np.random.Generator
) -> tuple[float, float]:
    """The medians of one launch of both, in seconds."""
    with ExitStack() as stack:
        # The one that starts first may find a quieter machine: each side is first in half of the launches.
        order = [str(name) for name in rng.permutation(["new", "old"])]
        workers = {name: stack.enter_context(Worker(sides[name], folder)) for name in order}
        for name, worker in workers.items():
            _open(name, worker)
        window = measure(workers, effort, rng)
    for name, reason in window.failures.items():
        raise CandidateError(f"the {name} bundle: {reason}")
    new, old = (window.samples[name] for name in ("new", "old"))
    return percentile(clock(new), 0.5) / 1e9, percentile(clock(old), 0.5) / 1e9


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
