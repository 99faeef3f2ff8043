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
from mde_bench.timing.interleave import measure
from mde_bench.timing.modes import measure_modes
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
        with progress("measuring", plan.effort.num_rounds) as moved_on:
            window = measure(running, plan.effort, np.random.default_rng(SEED), moved_on)
        findings.failures |= window.failures
        findings.after = moment()
        findings.window = window
        for name in window.samples:
            _look_at_memory(name, running[name], findings)
        _look_at_gpu(plan, running, findings)
        if plan.asked.modes:
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
    with progress("opening", len(workers)) as moved_on:
        for worker in workers.values():
            _open(worker, findings)
            moved_on()
    return {name: worker for name, worker in workers.items() if name in findings.opened}


def _open(worker: Worker, findings: Findings) -> None:
    name = worker.candidate.name
    try:
        findings.opened[name] = worker.opened()
    except AbsentError as error:
        findings.absent[name] = str(error)
    except CandidateError as error:
        findings.failures[name] = str(error)


def _predict(plan: Plan, running: dict[str, Worker], findings: Findings) -> None:
    """Let every candidate answer every frame; one that fails, or answers what is no depth map, is taken out."""
    with progress("predicting", len(running) * len(plan.scene.frames)) as moved_on:
        for worker in tuple(running.values()):
            _predict_with(worker, plan, running, findings, moved_on)
    reference = plan.candidates[0].name
    for name, predictions in findings.predictions.items():
        held_against = findings.predictions.get(reference) if name != reference else None
        findings.judged[name] = judge(predictions, held_against, plan)


def _predict_with(
    worker: Worker, plan: Plan, running: dict[str, Worker], findings: Findings, moved_on: Callable[[], None]
) -> None:
    name = worker.candidate.name
    try:
        findings.predictions[name] = _predictions(worker, plan, moved_on)
    except CandidateError as error:
        findings.failures[name] = str(error)
        del running[name]


def _look_at_memory(name: str, worker: Worker, findings: Findings) -> None:
    try:
        findings.peak_memory_bytes[name] = worker.peak_memory_bytes()
    except CandidateError as error:
        findings.failures[name] = str(error)


def _look_at_gpu(plan: Plan, running: dict[str, Worker], findings: Findings) -> None:
    """What those that compute on a GPU do there, and trtexec beside them."""
    for candidate in plan.candidates:
        if candidate.device == "cuda" and candidate.name in findings.peak_memory_bytes:
            try:
                findings.on_gpu[candidate.name] = on_gpu(running[candidate.name])
            except CandidateError as error:
                findings.failures[candidate.name] = str(error)


def _measure_modes(plan: Plan, running: dict[str, Worker], findings: Findings) -> None:
    names = [name for name in findings.peak_memory_bytes if name not in findings.failures and plan.asked.concerns(name)]
    with progress("measuring modes", len(names)) as moved_on:
        for name in names:
            _measure_modes_of(name, running[name], plan, findings)
            moved_on()


def _measure_modes_of(name: str, worker: Worker, plan: Plan, findings: Findings) -> None:
    try:
        findings.modes[name] = measure_modes(worker, plan.asked)
    except CandidateError as error:
        findings.failures[name] = str(error)


def _predictions(worker: Worker, plan: Plan, moved_on: Callable[[], None]) -> Predictions:
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
        moved_on()
    return Predictions(depth_m, num_nonfinite)
