"""A bundle beside transformers' own pipeline: one network, the same frames, one after the other, each in its process.

    python -m lab.public_networks.beside_pipeline model.mde FOLDER --threads 1

FOLDER holds the network as its publisher saves it. Prints medians of the latency, the median ratio, and the peak memory
of each process after its libraries, network and frames.
"""

import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import click
import numpy as np

from mde_runtime.bundle import read_bundle
from mde_runtime.command import PATH, Command, Whole

WARM_UP = 3


@click.command(cls=Command)
@click.argument("bundle", type=PATH)
@click.argument("folder", type=PATH)
@click.option("--threads", type=Whole(1), default=1, show_default=True)
@click.option("--rounds", type=Whole(1), default=40, show_default=True, help="Of one frame each.")
def main(bundle: Path, folder: Path, threads: int, rounds: int) -> None:
    """Time both on the golden frames."""
    context = multiprocessing.get_context("spawn")
    ways = {"bundle": (_bundle, bundle), "pipeline": (_pipeline, folder)}
    pipes: dict[str, Connection] = {}
    for name, (build, path) in ways.items():
        pipes[name], theirs = context.Pipe()
        context.Process(target=_serve, args=(theirs, build, path, bundle, threads), daemon=True).start()
    latency_s: dict[str, list[float]] = {name: [] for name in ways}
    for index in range(WARM_UP + rounds):
        for name in ways if index % 2 else reversed(ways):
            pipes[name].send(index)
            seconds = pipes[name].recv()
            if index >= WARM_UP:
                latency_s[name].append(seconds)
    ratio = statistics.median(
        theirs / ours for ours, theirs in zip(latency_s["bundle"], latency_s["pipeline"], strict=True)
    )
    for name, pipe in pipes.items():
        pipe.send(None)
        median_s = statistics.median(latency_s[name])
        click.echo(f"{name:<10}{median_s * 1000:9.1f} ms{pipe.recv() / 1e6:7.2f} GB")
    click.echo(f"the pipeline takes {ratio:.2f} times as long (median of {rounds} pairs, {threads} threads)")


def _serve(
    pipe: Connection, build: Callable[[Path, int], Callable[[object], object]], path: Path, bundle: Path, threads: int
) -> None:
    """Answer each number with the seconds that the frame of that number takes; None with the peak memory, kB."""
    frames = read_bundle(bundle).golden().frames
    run = build(path, threads)
    while (index := pipe.recv()) is not None:
        frame = np.ascontiguousarray(frames[index % len(frames)])
        start = time.perf_counter()
        run(frame)
        pipe.send(time.perf_counter() - start)
    pipe.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def _bundle(path: Path, threads: int) -> Callable[[object], object]:
    from mde_runtime import DepthEstimator

    return DepthEstimator.open(path, "onnxruntime-cpu", "fp32", num_threads=threads)  # type: ignore[return-value]


def _pipeline(path: Path, threads: int) -> Callable[[object], object]:
    import torch
    from PIL import Image

    from mde_train.torchvision_ops import import_torchvision

    import_torchvision()
    import transformers

    torch.set_num_threads(threads)
    estimate = transformers.pipeline("depth-estimation", model=str(path), device="cpu")
    return lambda frame: estimate(Image.fromarray(np.asarray(frame)))


if __name__ == "__main__":
    main()
