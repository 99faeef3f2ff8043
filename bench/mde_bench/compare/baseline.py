"""A bundle against what an earlier run on the same machine wrote down.

Two runs see two states of the machine, so this is the blunter way: slower only where the whole interval of the new
median lies above the whole interval of the old one.
"""

import tempfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from mde_bench.accuracy.frames import put_frames
from mde_bench.compare.bundles import Comparison, Comparisons
from mde_bench.result.result import Result, read_result
from mde_bench.timing.candidates import bundle_candidate, bundle_pairs
from mde_bench.timing.interleave import Effort, measure
from mde_bench.timing.statistics import Interval, Latency, Ratio, latency, over_launches
from mde_bench.timing.worker import AbsentError, CandidateError, Worker
from mde_runtime.bundle import Bundle, read_bundle
from mde_runtime.errors import BadInputError, MachineError, MeasurementError, VerdictError
from mde_runtime.machine import this_machine

SEED = 0


def compare_with_baseline(new: Path, baseline: Path, effort: Effort) -> Comparisons:
    """Measure a bundle on its golden frames and hold each candidate against the baseline's row of its name.

    Raises BadInputError when the baseline is not valid or is another machine's, VerdictError when a candidate fails,
    MachineError when nothing can be compared.
    """
    base, bundle = read_result(baseline), read_bundle(new)
    if base.conditions.machine != this_machine():
        raise BadInputError(
            f"{baseline}: measured on {base.conditions.machine.cpu} ({base.conditions.machine.system}), which is not "
            "this machine; measure a baseline here, or compare two bundles with --against"
        )
    if base.invalid_because or not base.is_complete:
        raise BadInputError(f"{baseline}: is no valid run ({'; '.join(base.invalid_because)}); measure it again")
    old = {row.name: row.speed.end_to_end for row in base.rows if row.speed}
    measured, left_out = _measure(bundle, base, set(old), effort)
    if not measured:
        reasons = "; ".join(left_out.values()) or f"{baseline.name} has no figure of it"
        raise MachineError(f"{new}: nothing of it can be compared on this machine: {reasons}")
    return Comparisons(tuple(_against(name, times, old[name]) for name, times in measured.items()), left_out)


def _measure(
    bundle: Bundle, base: Result, names: set[str], effort: Effort
) -> tuple[dict[str, Latency], dict[str, str]]:
    """The latencies of those candidates that the baseline has, and why those that cannot run here are left out."""
    left_out: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="mde-bench-") as folder, ExitStack() as stack:
        put_frames(Path(folder), bundle.golden().frames)
        workers = {}
        for backend, precision in bundle_pairs(bundle):
            candidate = bundle_candidate(bundle.path, backend, precision, base.conditions.num_threads)
            if candidate.name in names:
                workers[candidate.name] = stack.enter_context(Worker(candidate, Path(folder)))
        for name in tuple(workers):
            if reason := _absent_because(workers[name]):
                left_out[name] = reason
                del workers[name]
        window = measure(workers, effort, np.random.default_rng(SEED))
    if window.failures:
        raise VerdictError("; ".join(f"{name}: {reason}" for name, reason in window.failures.items()))
    if window.unsettled:
        said = "; ".join(f"{name}: {problem}" for name, problem in window.unsettled.items())
        raise MeasurementError(f"not valid: {said}; close what else runs and measure again")
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
