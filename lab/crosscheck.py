"""The p50 of a bare graph by mde-bench's worker, against two clocks that share no code with it, in turns.

    .venv/bin/python -m lab.crosscheck model.mde

onnxruntime: a loop in a process of its own. OpenVINO: its `benchmark_app`, both launched anew in every round.
One line of JSON each; the ratio is ours over theirs with its 95 % interval (docs/method.md). One thread.
"""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np

from mde_bench.accuracy.frames import put_frames
from mde_bench.timing.candidates import bundle_candidate
from mde_bench.timing.samples import Call
from mde_bench.timing.statistics import signed_ranks
from mde_bench.timing.worker import Worker
from mde_bench.timing.worker_process import FRAMES
from mde_runtime.bundle import read_bundle

NUM_CALLS = 8  # of a round of onnxruntime
NUM_ROUNDS = {"onnxruntime": 60, "openvino": 12}
LEVEL = 0.05
LOOP = f"""
import json, sys, time
import numpy as np
import onnxruntime as ort
options = ort.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = ort.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
frames = np.load(sys.argv[2])
for _ in sys.stdin:
    session.run(None, {{"frame": frames[:1]}})
    spans = []
    for k in range({NUM_CALLS}):
        start = time.perf_counter_ns()
        session.run(None, {{"frame": frames[k % len(frames)][None]}})
        spans.append(time.perf_counter_ns() - start)
    print(json.dumps(spans), flush=True)
"""
APP = ("-d", "CPU", "-api", "sync", "-hint", "none", "-nstreams", "1", "-nthreads", "1", "-infer_precision", "f32")


def main(model: Path) -> None:
    """Check both."""
    bundle = read_bundle(model)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        put_frames(folder, bundle.golden().frames)
        graph = folder / "fp32.onnx"
        graph.write_bytes(bundle.graph("fp32"))
        _say("onnxruntime fp32, a loop of its own", *_onnxruntime(model, graph, folder))
        _say("OpenVINO fp32, benchmark_app", *_openvino(model, graph, folder))


def _onnxruntime(model: Path, graph: Path, folder: Path) -> tuple[list[float], list[float]]:
    command = [sys.executable, "-c", LOOP, str(graph), str(folder / FRAMES)]
    with (
        Worker(bundle_candidate(model, "onnxruntime-cpu", "fp32", 1), folder) as worker,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as loop,
    ):
        worker.opened()

        def theirs() -> float:
            assert loop.stdin is not None
            assert loop.stdout is not None
            loop.stdin.write("\n")
            loop.stdin.flush()
            return float(np.median(json.loads(loop.stdout.readline())))

        measured = _in_turns(NUM_ROUNDS["onnxruntime"], lambda: _median(worker.block(0, NUM_CALLS)), theirs)
        loop.kill()
    return measured


def _openvino(model: Path, graph: Path, folder: Path) -> tuple[list[float], list[float]]:
    program = Path(sys.executable).with_name("benchmark_app")

    def ours() -> float:
        with Worker(bundle_candidate(model, "openvino", "fp32", 1), folder) as worker:
            worker.opened()
            worker.block(0.3, 5)
            return _median(worker.block(2.0, 20))

    def theirs() -> float:
        said = subprocess.run(
            [program, "-m", graph, *APP, "-t", "2"], capture_output=True, text=True, check=True
        ).stdout
        found = re.search(r"Median:\s+([\d.]+) ms", said)
        assert found, said
        return float(found[1]) * 1e6

    return _in_turns(NUM_ROUNDS["openvino"], ours, theirs)


def _in_turns(
    num_rounds: int, ours: Callable[[], float], theirs: Callable[[], float]
) -> tuple[list[float], list[float]]:
    """The medians of both sides in nanoseconds, a round each, in an order that is drawn anew."""
    found: tuple[list[float], list[float]] = ([], [])
    for _ in range(num_rounds):
        for side in np.random.default_rng().permutation(2):
            found[side].append((ours, theirs)[side]())
    return found


def _median(calls: list[Call]) -> float:
    return float(np.median([call.backend_ns for call in calls]))


def _say(what: str, ours_ns: list[float], theirs_ns: list[float]) -> None:
    centre, interval = signed_ranks(np.log(np.asarray(ours_ns) / theirs_ns), LEVEL)
    figures = {
        "ours_ms": np.median(ours_ns) / 1e6,
        "theirs_ms": np.median(theirs_ns) / 1e6,
        "ratio": np.exp(centre),
        "low": np.exp(interval.low),
        "high": np.exp(interval.high),
    }
    rounded = {name: round(float(value), 4) for name, value in figures.items()}
    click.echo(json.dumps({"what": what, "num_rounds": len(ours_ns), **rounded}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
