"""One network in all its ways, through the bench's own workers, in turns, at every batch size.

The frames are the bundle's golden ones, so that each way is also held against the PyTorch model in FP32 on a CPU.
"""

import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lab.gpu_check.commands import Invocation
from lab.gpu_check.lines import Line, Verdict
from lab.gpu_check.speed.aims import judged
from lab.gpu_check.speed.chip import Chip
from lab.gpu_check.speed.floor import floor_s
from lab.gpu_check.speed.networks import Model
from lab.gpu_check.speed.ways import Setting, Way
from mde_bench.timing.interleave import measure_in_turns
from mde_bench.timing.samples import Samples
from mde_bench.timing.statistics import percentile
from mde_bench.timing.worker import AbsentError, CandidateError, Worker
from mde_bench.timing.worker_process import FRAMES
from mde_runtime import parity
from mde_runtime.bundle import Bundle, read_bundle
from mde_runtime.command import say
from mde_runtime.parity import Limits

PART = "bench"
SEED = 0  # of the order in a round
FIRST_CALL_TIMEOUT_S = 240.0  # torch.compile compiles at the first call of a size


@dataclass(frozen=True, eq=False)
class Bench:
    """A network's open workers, and what they are measured with."""

    setting: Setting
    network: str
    bundle: Bundle
    chip: Chip | None  # None: its rates could not be measured, so there are no floors
    workers: dict[str, Worker] = field(default_factory=dict)  # by the name of the way
    executors: dict[str, str] = field(default_factory=dict)


def lines_of_network(setting: Setting, model: Model, chip: Chip | None) -> Iterator[Line]:
    """All batch sizes of a network, in workers that stay open from one to the next."""
    bench = Bench(setting, model.name, read_bundle(model.bundle), chip)
    with tempfile.TemporaryDirectory(prefix="mde-gpu-check-") as name, ExitStack() as stack:
        folder = Path(name)
        for batch in setting.batches:
            np.save(folder / f"{batch}.npy", _batches(bench.bundle, batch))
        (folder / FRAMES).symlink_to(folder / f"{setting.batches[0]}.npy")
        for way in sorted(setting.ways_of(model.name), key=lambda way: way.engine is not None):
            if problem := _missing_engine(way, model):  # built while the workers before it open
                yield Line(PART, f"{model.name}, {way.name}", "absent", {}, problem)
            else:
                candidate = way.candidate(model.name, str(model.file_for(way)), setting.device)
                bench.workers[way.name] = stack.enter_context(Worker(candidate, folder, FIRST_CALL_TIMEOUT_S))
        for way_name in tuple(bench.workers):
            yield from _opening(bench, way_name)
        runs = [_measured(bench, batch, folder / f"{batch}.npy") for batch in setting.batches]
        _ready_to_trace(bench)  # only now: a process that was traced may launch more slowly ever after
        for run in runs:
            yield from _lines_of_run(bench, run)


def _batches(bundle: Bundle, size: int) -> "np.typing.NDArray[np.uint8]":
    """The golden frames in batches, (M, N, H, W, 3); where they are too few, they come again."""
    frames = bundle.golden().frames
    num_batches = max(1, len(frames) // size)
    cycled = np.take(frames, np.arange(num_batches * size), axis=0, mode="wrap")
    return cycled.reshape(num_batches, size, *frames.shape[1:])


def _missing_engine(way: Way, model: Model) -> str | None:
    """Build the engine that a way needs; why it cannot be, or None."""
    if way.engine is None:
        return None
    command = Invocation("mde-bundle", "engine", model.bundle, "--flavour", way.engine, "--precision", way.precision)
    return command.error(codes=(0, 1))  # 1: not verified, which its own line will show


def _opening(bench: Bench, name: str) -> Iterator[Line]:
    """Wait until a worker is open; a line, and no worker any more, where it cannot be."""
    try:
        bench.executors[name] = bench.workers[name].opened().executor
    except AbsentError as error:
        del bench.workers[name]
        yield Line(PART, f"{bench.network}, {name}", "absent", {}, str(error))
    except CandidateError as error:
        del bench.workers[name]
        yield Line(PART, f"{bench.network}, {name}", "failed", {}, str(error))


@dataclass(frozen=True, eq=False)
class Run:
    """Every way at one batch size."""

    batch: int
    frames: Path
    ways: dict[str, Way]
    errors_m: dict[str, float]  # the worst golden frame's RMSE
    samples: dict[str, Samples]
    failures: dict[str, str]


def _measured(bench: Bench, batch: int, frames: Path) -> Run:
    """Parity first, then one window of all that passed it without failing."""
    ways = {way.name: way for way in bench.setting.ways_of(bench.network, batch) if way.name in bench.workers}
    run = Run(batch, frames, ways, {}, {}, {})
    for name in ways:
        _predict(bench, name, run)
    running = {name: bench.workers[name] for name in run.errors_m}
    if running:
        window = measure_in_turns(running, bench.setting.rounds, np.random.default_rng(SEED))
        run.samples.update(window.samples)
        run.failures.update(window.failures)
    return run


def _ready_to_trace(bench: Bench) -> None:
    """Trace a call of every worker at once: loading the tracer takes seconds."""
    with ThreadPoolExecutor() as pool:
        tuple(pool.map(lambda worker: _trace(worker, 1), bench.workers.values()))


def _lines_of_run(bench: Bench, run: Run) -> Iterator[Line]:
    figures = {}
    for name, taken in run.samples.items():
        figures[name] = _figures(taken, run.batch) | {"worst_rmse_mm": 1e3 * run.errors_m[name]}
        figures[name] |= _floor(bench, run.ways[name], run.batch, figures[name]["p50_ms"])
        figures[name] |= _trace(bench.workers[name], bench.setting.num_traced, run.frames)
        problem = _unfaithful(bench, run.ways[name], run.errors_m[name])
        detail = "; ".join(filter(None, (problem, bench.executors[name])))
        verdict: Verdict = "failed" if problem else "passed"
        yield Line(PART, f"{bench.network}, {run.batch}, {name}", verdict, figures[name], detail)
    for name, reason in run.failures.items():
        yield Line(PART, f"{bench.network}, {run.batch}, {name}", "failed", {}, reason)
    if run.batch == 1:
        yield from judged(bench.setting.aims, bench.network, figures)


def _predict(bench: Bench, name: str, run: Run) -> None:
    """Answer every golden frame: the worst one's RMSE, or why there is none."""
    golden, worker = bench.bundle.golden(), bench.workers[name]
    try:
        worker.take(run.frames)
        depth_m = np.concatenate([worker.answer(index).depth_m for index in range(len(np.load(run.frames, "r")))])
    except CandidateError as error:
        run.failures[name] = str(error)
        return
    expected_m = np.take(golden.depth_m, np.arange(len(depth_m)), axis=0, mode="wrap")
    run.errors_m[name] = parity.measure(depth_m, expected_m, 0, bench.bundle.contract).rmse_worst_m


def _unfaithful(bench: Bench, way: Way, worst_m: float) -> str | None:
    """What is wrong with a graph of ours that is over the limit; PyTorch in half is none."""
    limit_m = Limits.of(way.precision, bench.bundle.contract.from_network).rmse_worst_m
    if way.takes == "checkpoint" or worst_m <= limit_m:
        return None
    return f"worst RMSE over the limit of {1e3 * limit_m:.3g} mm"


def _figures(samples: Samples, batch: int) -> dict[str, float]:
    p50_ns = percentile(samples.wall_ns, 0.5)
    return {
        "p50_ms": p50_ns / 1e6,
        "p99_ms": percentile(samples.wall_ns, 0.99) / 1e6,
        "call_p50_ms": percentile(samples.backend_ns, 0.5) / 1e6,
        "frames_per_s": batch * 1e9 / p50_ns,
        "num_calls": len(samples.wall_ns),
    }


def _floor(bench: Bench, way: Way, batch: int, p50_ms: float) -> dict[str, float]:
    if bench.chip is None:
        return {}
    least_ms = 1e3 * floor_s(bench.bundle.graph(way.precision), batch, way.precision, bench.chip)
    if not least_ms:  # nothing in it multiplies
        return {}
    return {"floor_ms": least_ms, "times_floor": p50_ms / least_ms}


def _trace(worker: Worker, num_calls: int, frames: Path | None = None) -> dict[str, float]:
    """A call's time on the GPU, where it can be traced. frames: other ones than those that it has."""
    try:
        if frames is not None:
            worker.take(frames)
        on_gpu = worker.trace(num_calls)
    except CandidateError as error:
        say(f"{worker.candidate.name}: not traced: {error}")
        return {}
    return {"gpu_ms": 1e3 * on_gpu.kernel_s, "copies_ms": 1e3 * on_gpu.copy_s, "num_kernels": on_gpu.num_kernels}
