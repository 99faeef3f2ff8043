"""Comparison of a bundle with an earlier run on the same machine.

Two runs see two states of the machine, so this is the blunter way: slower only where the whole interval of the new
median lies above the whole interval of the old one.
"""

import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from mde_bench.accuracy.frames import put_frames
from mde_bench.compare.bundles import Comparison, Comparisons
from mde_bench.result.result import read_result
from mde_bench.timing.candidates import Candidate, bundle_candidates, named
from mde_bench.timing.effort import NORMAL, Effort, Rounds
from mde_bench.timing.interleave import measure_in_turns
from mde_bench.timing.statistics import Interval, Latency, Ratio, latency, over_launches
from mde_bench.timing.worker import AbsentError, CandidateError, Worker
from mde_runtime.bundle import Bundle, read_bundle
from mde_runtime.errors import BadInputError, MachineError, MeasurementError, VerdictError
from mde_runtime.machine import this_machine
from mde_runtime.progress import progress

SEED = 0


def compare_with_baseline(
    new: Path,
    baseline: Path,
    effort: Effort = NORMAL,
    only: Sequence[str] = (),
    tell: Callable[[str], None] = lambda _: None,
) -> Comparisons:
    """Measure a bundle on its golden frames and hold each candidate against the baseline's row of its name.

    only: patterns of candidates' names. tell: called with a line of progress. Raises BadInputError when the
    baseline is not valid, of other frames or another machine's, VerdictError when a candidate fails, MachineError when
    nothing can be compared.
    """
    base, bundle = read_result(baseline), read_bundle(new)
    if base.conditions.machine != this_machine():
        raise BadInputError(
            f"{baseline}: measured on {base.conditions.machine.cpu} ({base.conditions.machine.system}), which is not "
            "this machine; measure a baseline here, or compare two bundles with --against"
        )
    if base.invalid_because or not base.is_complete:
        raise BadInputError(f"{baseline}: is not a valid run ({'; '.join(base.invalid_because)}); measure it again")
    if base.judged.contract.source != bundle.contract.source:
        raise BadInputError(
            f"{baseline}: measured with different frames than {new} takes; measure a baseline of a bundle for the same "
            "source size"
        )
    old = {row.name: row.speed.end_to_end for row in base.rows if row.speed}
    candidates = named(bundle_candidates(bundle, base.conditions.num_threads), only)
    candidates = [candidate for candidate in candidates if candidate.name in old]
    tell(f"measuring {', '.join(candidate.name for candidate in candidates)}")
    measured, left_out = _measure(bundle, candidates, effort.rounds)
    if not measured:
        reasons = "; ".join(left_out.values()) or f"{baseline.name} has no figure for it"
        raise MachineError(f"{new}: nothing in it can be compared on this machine: {reasons}")
    compared = tuple(_against(name, times, old[name]) for name, times in measured.items())
    return Comparisons(compared, left_out, effort.name, None)


def _measure(
    bundle: Bundle, candidates: Sequence[Candidate], rounds: Rounds
) -> tuple[dict[str, Latency], dict[str, str]]:
    """The latencies of the candidates, and why those that cannot run here are left out."""
    left_out: dict[str, str] = {}
    with (
        tempfile.TemporaryDirectory(prefix="mde-bench-") as name,
        ExitStack() as stack,
        progress("measuring", rounds.num_rounds) as advance,
    ):
        folder = Path(name)
        put_frames(folder, bundle.golden().frames)
        workers = {each.name: stack.enter_context(Worker(each, folder)) for each in candidates}
        for name in tuple(workers):
            if reason := _absent_because(workers[name]):
                left_out[name] = reason
                del workers[name]
        window = measure_in_turns(workers, rounds, np.random.default_rng(SEED), advance)
    if window.failures:
        raise VerdictError("; ".join(f"{name}: {reason}" for name, reason in window.failures.items()))
    if window.reasons:
        raise MeasurementError(f"not valid: {'; '.join(window.reasons)}; close other programs and measure again")
    rng = np.random.default_rng(SEED)
    found = {name: latency(samples.wall_ns, samples.round, rng) for name, samples in window.samples.items()}
    return found, left_out


def _absent_because(worker: Worker) -> str | None:
    """Why this machine cannot run it; None when it is open."""
    try:
        worker.opened()
    except AbsentError as error:
        return str(error)
    except CandidateError as error:
        raise VerdictError(f"{worker.candidate.name}: {error}") from error
    return None


def _against(name: str, new: Latency, old: Latency) -> Comparison:
    low = new.p50_interval_s.low / old.p50_interval_s.high
    high = new.p50_interval_s.high / old.p50_interval_s.low
    value = new.p50_s / old.p50_s
    return Comparison(name, new.p50_s, old.p50_s, Ratio(value, over_launches(value, Interval(low, high))), (), None)
