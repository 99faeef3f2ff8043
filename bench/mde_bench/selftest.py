"""How often `mde-bench compare` is wrong: a bundle against itself, and against itself made slower by a known share.

    python -m mde_bench.selftest model.mde --num-comparisons 100 --slower-permille 0 --slower-permille 50

One line of JSON a comparison, in turns over the shares, so that it can be ended at any time. docs/method.md says what
came out.
"""

import dataclasses
import json
import time
from pathlib import Path

import click

from mde_bench.candidates import bundle_candidate
from mde_bench.compare import compare, processor, wall
from mde_runtime.bundle import read_bundle
from mde_runtime.command import PATH, Command


@click.command(cls=Command)
@click.argument("bundle", type=PATH)
@click.option("--backend", default="onnxruntime-cpu", show_default=True)
@click.option("--num-comparisons", default=100, show_default=True, help="For each share.")
@click.option("--slower-permille", type=int, multiple=True, default=(0, 20, 50), show_default=True)
@click.option("--threads", "num_threads", default=1, show_default=True)
@click.option("--cpu-time", is_flag=True, help="Decide by processor time.")
def main(
    bundle: Path,
    backend: str,
    num_comparisons: int,
    slower_permille: tuple[int, ...],
    num_threads: int,
    cpu_time: bool,
) -> None:
    """Compare BUNDLE with itself, slowed by each share, many times."""
    frames = read_bundle(bundle).golden().frames
    old = bundle_candidate(bundle, backend, "fp32", num_threads)
    for _ in range(num_comparisons):
        for permille in slower_permille:
            options = {**old.options, "slower_permille": permille}
            new = dataclasses.replace(old, opener="mde_bench.subjects.slowed:open_subject", options=options)
            start = time.monotonic()
            found = compare(new, old, frames, processor if cpu_time else wall)
            said = {"slower_permille": permille, "verdict": found.verdict, "smallest_seen": found.smallest_seen}
            click.echo(json.dumps({**said, "ratio": found.ratio.value, "seconds": time.monotonic() - start}))


if __name__ == "__main__":
    main()
