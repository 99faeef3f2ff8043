"""One run of the bench: open the candidates, let them predict, measure them in turns, put the result together."""

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mde_bench.accuracy.frames import put_frames
from mde_bench.findings import Findings, Predictions, judge
from mde_bench.machine.conditions import moment
from mde_bench.plan import Plan
from mde_bench.result.result import Result
from mde_bench.timing.candidates import is_named
from mde_bench.timing.interleave import attempt, measure_in_turns
from mde_bench.timing.modes.figures import measure_modes
from mde_bench.timing.on_gpu import on_gpu
from mde_bench.timing.worker import AbsentError, CandidateError, Worker
from mde_runtime.progress import progress

SEED = 0  # of the candidates' order: a run can be repeated


@dataclass(frozen=True, eq=False)
class Outcome:
    """The result, and what the candidates predicted, by name: the pictures of a report are made of it."""

    result: Result
    predictions: dict[str, Predictions]


def carry_out(plan: Plan, on_result: Callable[[Result], None] = lambda _: None) -> Outcome:
    """Do the run. on_result gets what there is whenever there is more, so that a run ended half-way is not lost."""
    findings = Findings()
    with tempfile.TemporaryDirectory(prefix="mde-bench-") as folder, ExitStack() as stack:
        running = _opened(plan, Path(folder), stack, findings)
        _predict(plan, running, findings)
        on_result(findings.result(plan, is_complete=False))
        _measure(plan, running, findings)
        if plan.modes.names:
            on_result(findings.result(plan, is_complete=False))
            _measure_modes(plan, running, findings)
    result = findings.result(plan, is_complete=True)
    on_result(result)
    return Outcome(result, findings.predictions)


def _opened(plan: Plan, folder: Path, stack: ExitStack, findings: Findings) -> dict[str, Worker]:
    """Start a worker for every candidate, all at once, and keep those that open."""
    put_frames(folder, plan.scene.frames)
    workers = {
        candidate.name: stack.enter_context(Worker(candidate, folder, plan.call_timeout_s))
        for candidate in plan.candidates
    }
    with progress("opening", len(workers)) as advance:
        for name in tuple(workers):
            attempt(name, workers, findings.failures, lambda worker: _open(worker, findings))
            advance()
    return {name: worker for name, worker in workers.items() if name in findings.opened}


def _open(worker: Worker, findings: Findings) -> None:
    name = worker.candidate.name
    try:
        findings.opened[name] = worker.opened()
    except AbsentError as error:
        findings.absent[name] = str(error)


def _predict(plan: Plan, running: dict[str, Worker], findings: Findings) -> None:
    """Let every candidate answer every frame; one that fails, or answers what is no depth map, is taken out."""
    with progress("predicting", len(running) * len(plan.scene.frames)) as advance:
        for name in tuple(running):
            found = attempt(name, running, findings.failures, lambda worker: _predictions(worker, plan, advance))
            if found is not None:
                findings.predictions[name] = found
    reference = plan.candidates[0].name
    for name, predictions in findings.predictions.items():
        held_against = findings.predictions.get(reference) if name != reference else None
        findings.judged[name] = judge(predictions, held_against, plan)


def _measure(plan: Plan, running: dict[str, Worker], findings: Findings) -> None:
    """Measure the single stream in turns, then ask each candidate for its memory and its time on the GPU."""
    with progress("measuring", plan.effort.rounds.num_rounds) as advance:
        window = measure_in_turns(running, plan.effort.rounds, np.random.default_rng(SEED), advance)
    findings.failures |= window.failures
    findings.after = moment()
    findings.window = window
    for name in window.samples:
        peak_bytes = attempt(name, running, findings.failures, Worker.peak_memory_bytes)
        if name in running:  # it has not failed meanwhile
            findings.peak_memory_bytes[name] = peak_bytes
    for name in tuple(findings.peak_memory_bytes):
        if running[name].candidate.device == "cuda":
            found = attempt(name, running, findings.failures, on_gpu)
            if found is not None:
                findings.on_gpu[name] = found


def _measure_modes(plan: Plan, running: dict[str, Worker], findings: Findings) -> None:
    names = [name for name in findings.peak_memory_bytes if name in running and is_named(name, plan.only)]
    with progress("measuring modes", len(names)) as advance:
        for name in names:
            found = attempt(name, running, findings.failures, lambda worker: measure_modes(worker, plan.modes))
            if found is not None:
                findings.modes[name] = found
            advance()


def _predictions(worker: Worker, plan: Plan, advance: Callable[[], None]) -> Predictions:
    depth_m, num_nonfinite = np.empty(plan.scene.truth_m.shape, np.float32), 0
    for index, name in enumerate(plan.scene.names):
        answer = worker.answer(index)
        if answer.depth_m.shape != depth_m.shape[1:] or answer.depth_m.dtype != np.float32:
            raise CandidateError(
                f"gave {answer.depth_m.dtype} {answer.depth_m.shape} for frame {name}, not float32 {depth_m.shape[1:]}"
            )
        if num_bad := int(np.count_nonzero(~np.isfinite(answer.depth_m))):
            raise CandidateError(f"gave {num_bad} values that are NaN or Inf for frame {name}")
        depth_m[index] = answer.depth_m
        num_nonfinite += answer.num_nonfinite
        advance()
    return Predictions(depth_m, num_nonfinite)
