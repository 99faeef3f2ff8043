"""The time to open a bundle and to the first depth, in fresh processes; and a stream beside the bare call.

    .venv/bin/python -m lab.opening BUNDLE [ROUNDS] [BACKEND ...]

The first opening fills the cache and does not count. Medians over the rounds, backends in turns.
"""

import statistics
import subprocess
import sys
import time

import click
import numpy as np

from mde_runtime import DepthEstimator

BACKENDS = ("onnxruntime-cpu", "openvino", "openvino-throughput")
STREAM_S = 0.4  # how long the bare calls of a round take
ONCE = """
import sys, time, resource, numpy
from mde_runtime import DepthEstimator
started = time.perf_counter()
with DepthEstimator.open(sys.argv[1], sys.argv[2]) as estimate:
    source = estimate.contract.source
    estimate(numpy.zeros((source.height_px, source.width_px, 3), numpy.uint8))
    print(time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def main(bundle: str, num_rounds: int, backends: tuple[str, ...]) -> None:
    """Measure, and print two lines a backend."""
    turns = [{backend: opening(bundle, backend) for backend in backends} for _ in range(1 + num_rounds)]
    for backend in backends:
        taken_s, peaks_mib = zip(*(turn[backend] for turn in turns[1:]), strict=True)
        first = f"{statistics.median(taken_s):.3f} s (slowest {max(taken_s):.3f}), at most {max(peaks_mib):.0f} MiB"
        click.echo(f"{backend}: first depth after {first}")
    estimators = {backend: DepthEstimator.open(bundle, backend) for backend in backends}
    rounds = [{backend: streaming(estimate) for backend, estimate in estimators.items()} for _ in range(num_rounds)]
    for backend in backends:
        bare_s, stream_s = zip(*(each[backend] for each in rounds), strict=True)
        over = statistics.median(bare / stream for bare, stream in zip(bare_s, stream_s, strict=True))
        bare_ms, stream_ms = (1e3 * statistics.median(times) for times in (bare_s, stream_s))
        click.echo(
            f"{backend}: bare call {bare_ms:.2f} ms, stream {stream_ms:.2f} ms per frame, {over:.3f} times the frames"
        )


def opening(bundle: str, backend: str) -> tuple[float, float]:
    """Seconds to the first depth and the most MiB resident, of a process of its own."""
    said = subprocess.run((sys.executable, "-c", ONCE, bundle, backend), capture_output=True, text=True, check=True)
    taken_s, peak_mib = said.stdout.split()
    return float(taken_s), float(peak_mib)


def streaming(estimate: DepthEstimator) -> tuple[float, float]:
    """Seconds a frame: of the backend's bare call, and of a stream."""
    source = estimate.contract.source
    frame = np.random.default_rng(0).integers(0, 256, (source.height_px, source.width_px, 3), np.uint8)
    bare = [estimate.detail(frame).timings_ms["run"] / 1e3 for _ in range(3)]
    num_frames = max(5, round(STREAM_S / min(bare)))
    bare = [estimate.detail(frame).timings_ms["run"] / 1e3 for _ in range(num_frames)]
    started = time.perf_counter()
    for _ in estimate.stream([frame] * num_frames):
        pass
    return statistics.fmean(bare), (time.perf_counter() - started) / num_frames


if __name__ == "__main__":
    arguments = sys.argv[1:] or sys.exit(__doc__)
    main(arguments[0], int(arguments[1]) if arguments[1:] else 7, tuple(arguments[2:]) or BACKENDS)
