"""The backends against the chip's convolution ceiling: `python -m lab.ceiling fast.mde runs/fast/best.ckpt`.

One process, one thread, every candidate in turns in random order, processor time beside wall time. The ceiling is the
best rate of four chains of plain 3x3 convolutions in OpenVINO, in the shapes of a ResNet, measured in the same turns.
"""

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnxruntime as ort
import openvino as ov
import torch

from mde_bench.machine.graph_work import work_of
from mde_bench.report.markdown import markdown_table
from mde_bench.subjects.torch_eager import TorchEager
from mde_runtime.backends import open_session
from mde_runtime.bundle import read_bundle
from mde_runtime.choice import Choice
from mde_runtime.estimator import DepthEstimator
from mde_runtime.verify import recorded, verify
from mde_train.checkpoint import read_checkpoint
from mde_train.depth_model import DepthModel

CHAINS = ((64, 56), (128, 28), (256, 14), (512, 7))  # channels and side, px: the four stages of a ResNet at 224 px
NUM_LAYERS = 8  # in a chain, so that what comes before and after it does not count
NUM_STREAMED = 8  # frames of one turn of `stream`
NUM_WARM = 3
OPENVINO = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}


@dataclass
class Timed:
    """Something that is timed; macs: of one call, frames: that it answers."""

    name: str
    call: Callable[[], object]
    macs: int
    frames: int = 1
    wall_ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)

    def time(self) -> None:
        """One more sample, per frame."""
        wall, cpu = time.perf_counter_ns(), time.process_time_ns()
        self.call()
        self.cpu_ms.append((time.process_time_ns() - cpu) / 1e6 / self.frames)
        self.wall_ms.append((time.perf_counter_ns() - wall) / 1e6 / self.frames)

    @property
    def macs_per_s(self) -> float:
        """By the median of processor time."""
        return self.macs / float(np.median(self.cpu_ms)) * 1e3


def chain(channels: int, side: int) -> Timed:
    """Plain convolutions one after the other."""
    chance = np.random.default_rng(0)
    weight = chance.normal(0, 0.05, (channels, channels, 3, 3)).astype(np.float32)
    x = ov.opset13.parameter([1, channels, side, side], np.float32)
    y = x
    for _ in range(NUM_LAYERS):
        y = ov.opset13.convolution(y, ov.opset13.constant(weight), [1, 1], [1, 1], [1, 1], [1, 1])
    request = ov.Core().compile_model(ov.Model([y], [x], "chain"), "CPU", OPENVINO).create_infer_request()
    picture = chance.normal(size=(1, channels, side, side)).astype(np.float32)
    macs = NUM_LAYERS * channels * channels * 9 * side * side
    return Timed(f"chain {channels}x{side}x{side}", lambda: request.infer([picture], share_inputs=True), macs)


def bare_call(backend: str, graph: bytes, frame: np.ndarray) -> Callable[[], object]:
    """A graph in its library alone, on one thread: what a call costs without this project around it."""
    feeds = {"frame": frame[None]}
    if backend == "onnxruntime-cpu":
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        return lambda: session.run(None, feeds)
    core = ov.Core()
    request = core.compile_model(core.read_model(graph, b""), "CPU", OPENVINO).create_infer_request()
    return lambda: request.infer(feeds, share_inputs=True)


def of_backend(bundle_path: Path, backend: str, frame: np.ndarray, macs: int) -> list[Timed]:
    """A backend through the estimator and in its stream, and its library's bare call on the same graph."""
    bundle = read_bundle(bundle_path)
    session = open_session(backend, bundle.graph("fp32"), num_threads=1)
    verification = recorded(bundle, "fp32", session) or verify(bundle, backend, "fp32", session)
    choice = Choice.asked_for(backend, "fp32", verification, is_newly_verified=False)
    estimate = DepthEstimator(session, bundle.contract, choice)
    frames = [frame] * NUM_STREAMED
    return [
        Timed(f"{backend}, bare call", bare_call(backend, bundle.graph("fp32"), frame), macs),
        Timed(f"{backend}, estimator", lambda: estimate(frame), macs),
        Timed(f"{backend}, stream", lambda: list(estimate.stream(frames)), macs, NUM_STREAMED),
    ]


def candidates_of(bundle_path: Path, checkpoint: str) -> tuple[list[Timed], list[Timed]]:
    """What runs the network, and the chains."""
    torch.set_num_threads(1)
    bundle = read_bundle(bundle_path)
    work = work_of(bundle.graph("fp32"))
    assert work is not None
    frame = bundle.golden().frames[0]
    read = read_checkpoint(Path(checkpoint))
    model = DepthModel(read.network, read.contract).eval()
    eager = TorchEager(model, read.contract, "")
    compiled = TorchEager(torch.compile(model, dynamic=False), read.contract, "")
    return [
        Timed("torch eager", lambda: eager.answer(frame), work.num_macs),
        Timed("torch.compile", lambda: compiled.answer(frame), work.num_macs),
        *of_backend(bundle_path, "onnxruntime-cpu", frame, work.num_macs),
        *of_backend(bundle_path, "openvino", frame, work.num_macs),
    ], [chain(*shape) for shape in CHAINS]


def main(bundle: str, checkpoint: str, seconds: str = "120") -> None:
    """Measure for so many seconds and print a table in Markdown."""
    networks, chains = candidates_of(Path(bundle), checkpoint)
    everything, chance = [*networks, *chains], np.random.default_rng(0)
    for candidate in everything:
        for _ in range(NUM_WARM):
            candidate.call()
    end = time.monotonic() + float(seconds)
    while time.monotonic() < end:
        for index in chance.permutation(len(everything)):
            everything[index].time()
    ceiling = max(candidate.macs_per_s for candidate in chains)
    rates = ", ".join(f"{candidate.name} {candidate.macs_per_s / 1e9:.1f}" for candidate in chains)
    headings = ("", "p50 ms", "p99 ms", "processor time p50 ms", "share of the ceiling")
    lines = [
        f"{Path(bundle).name}: {networks[0].macs / 1e9:.3f} GMAC, {len(chains[0].cpu_ms)} turns, "
        f"load {os.getloadavg()[0]:.1f}",
        f"ceiling {ceiling / 1e9:.1f} GMAC/s of processor time, the best of: {rates}",
        markdown_table(headings, [row(candidate, ceiling) for candidate in networks]),
    ]
    sys.stdout.write("\n".join(lines) + "\n")


def row(candidate: Timed, ceiling: float) -> tuple[str, ...]:
    """A line of the table."""
    p50, p99 = np.quantile(candidate.wall_ms, (0.5, 0.99))
    cpu_ms, share = float(np.median(candidate.cpu_ms)), candidate.macs_per_s / ceiling
    return candidate.name, f"{p50:.2f}", f"{p99:.2f}", f"{cpu_ms:.2f}", f"{share:.1%}"


if __name__ == "__main__":
    main(*sys.argv[1:])
