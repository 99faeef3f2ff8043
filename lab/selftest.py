"""The error rate of `mde-bench compare`: a bundle against itself, and against itself made slower by a known share.

    python -m lab.selftest model.mde --slower-permille 0 --num-comparisons 100 >> selftest.jsonl

One line of JSON a comparison, so that it can be ended at any time and gone on with. docs/results.md says what came out.
"""

import dataclasses
import json
import time
from pathlib import Path

import click

from mde_bench.compare.bundles import compare, processor, wall
from mde_bench.timing.candidates import bundle_candidate
from mde_runtime.bundle import read_bundle
from mde_runtime.command import PATH, Command, Whole


@click.command(cls=Command)
@click.argument("bundle", type=PATH)
@click.option("--backend", default="onnxruntime-cpu", show_default=True)
@click.option("--num-comparisons", type=Whole(1), default=100, show_default=True)
@click.option("--slower-permille", type=Whole(0), default=0, show_default=True, help="0: against itself.")
@click.option(
    "--rule-out-percent",
    type=click.FloatRange(min=0.1),
    default=5.0,
    show_default=True,
    help="As of mde-bench compare.",
)
@click.option("--threads", "num_threads", type=Whole(1), default=1, show_default=True)
@click.option("--cpu-time", is_flag=True, help="Decide by processor time.")
def main(
    bundle: Path,
    backend: str,
    num_comparisons: int,
    slower_permille: int,
    rule_out_percent: float,
    num_threads: int,
    cpu_time: bool,
) -> None:
    """Compare BUNDLE with itself, slowed by a share, many times."""
    frames = read_bundle(bundle).golden().frames
    old = bundle_candidate(bundle, backend, "fp32", num_threads)
    options = {**old.options, "slower_permille": slower_permille}
    new = dataclasses.replace(old, opener="lab.subjects.slowed:open_subject", options=options)
    for _ in range(num_comparisons):
        start = time.monotonic()
        found = compare(new, old, frames, processor if cpu_time else wall, rule_out_percent / 100)
        said = {
            "slower_permille": slower_permille,
            "rule_out_percent": rule_out_percent,
            "verdict": found.verdict,
            "ratio": found.ratio.value,
            "smallest_seen": found.smallest_seen,
            "num_launches": len(found.ratios),
            "seconds": round(time.monotonic() - start, 1),
        }
        click.echo(json.dumps(said))


if __name__ == "__main__":
    main()
