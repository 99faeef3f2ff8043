"""The coverage of a ratio's interval: a bench run again and again, and the ratio of all runs together.

    .venv/bin/python -m lab.interval_coverage model.mde DATA 20

Each run launches onnxruntime and OpenVINO anew, on four frames and one thread. Prints how many of the intervals of the
p50 ratio hold the ratio of the medians of all samples pooled.
"""

import sys
from dataclasses import replace
from pathlib import Path

import click

from mde_bench.accuracy.frames import Excerpt
from mde_bench.plan import plan_run
from mde_bench.result.result import Speed
from mde_bench.run import carry_out
from mde_bench.timing.effort import NORMAL
from mde_bench.timing.statistics import percentile


def main(model: Path, data: Path, num_runs: int) -> None:
    """Run, and say what came out."""
    effort = replace(NORMAL, rounds=replace(NORMAL.rounds, max_windows=1))
    plan = plan_run(model, None, Excerpt(data, None, 4), "seed", 1, effort, only=("openvino fp32",))
    runs: list[tuple[Speed, Speed]] = []
    for _ in range(num_runs):
        reference, other = carry_out(plan).result.rows
        assert reference.speed is not None
        assert other.speed is not None
        runs.append((reference.speed, other.speed))
    below, above = (percentile([value for run in runs for value in run[side].samples.wall_ns], 0.5) for side in (0, 1))
    ratios = [run[1].ratio for run in runs if run[1].ratio]
    num_covering = sum(ratio.interval.low <= above / below <= ratio.interval.high for ratio in ratios)
    click.echo(f"{above / below:.4f} pooled; {num_covering} of {len(ratios)} intervals cover it")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
