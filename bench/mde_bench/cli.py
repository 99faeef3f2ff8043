"""`mde-bench`: how fast, how faithful, how right."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mde_runtime.command import PATH, Group, say
from mde_runtime.errors import MeasurementError, VerdictError

if TYPE_CHECKING:
    from mde_bench.result import Result


@click.group(cls=Group)
def main() -> None:
    """Judge a bundle: how fast it is, how faithful to the PyTorch model, and how right.

    Every figure goes with the protocol and the conditions that it was measured under; docs/method.md defines them.
    """


@main.command()
@click.argument("bundle", type=PATH)
@click.option("--data", type=PATH, required=True, help="Data set of frames with depth.")
@click.option("--checkpoint", type=PATH, help="The checkpoint of the bundle: parity is then against PyTorch itself.")
@click.option("--split", help="Split of the data set.  [default: the last, which training does not see]")
@click.option("--frames", "num_frames", default=50, show_default=True, help="How many, evenly spaced over the split.")
@click.option("--protocol", default="seed", show_default=True, help="How accuracy is averaged.")
@click.option("--threads", "num_threads", type=click.IntRange(min=1), help="On a CPU.  [default: all cores]")
@click.option("--report", type=PATH, help="Write one HTML page, complete in itself.")
@click.option("--json", "json_path", type=PATH, help="Write everything as JSON, the raw samples too.")
@click.option("--allow-noisy", is_flag=True, help="Go on with a warning where the figures never settled.")
def run(
    bundle: Path,
    data: Path,
    checkpoint: Path | None,
    split: str | None,
    num_frames: int,
    protocol: str,
    num_threads: int | None,
    report: Path | None,
    json_path: Path | None,
    allow_noisy: bool,
) -> None:
    """Measure BUNDLE on every backend of this machine, in turns, each in its own process.

    A candidate that crashes, hangs or answers nonsense costs its own row and makes the exit code 1. A run whose
    figures never settled is not valid and makes it 5: close what else runs and measure again.

    \b
    mde-bench run model.mde --data data --checkpoint model.ckpt --report bench.html --json bench.json
    """
    from mde_bench.interleave import Effort
    from mde_bench.plan import plan_run
    from mde_bench.ranking import keep_ranking
    from mde_bench.result import save
    from mde_bench.run import carry_out

    plan = plan_run(bundle, data, checkpoint, split, num_frames, protocol, num_threads, Effort())
    outcome = carry_out(plan, lambda result: save(result, json_path) if json_path else None)
    _print(outcome.result)
    if report:
        from mde_bench.report.page import write_report

        write_report(outcome, plan.scene, report)
        click.echo(report)
    if failed := [row.name for row in outcome.result.rows if row.failure or row.parity_breaches]:
        raise VerdictError(f"{', '.join(failed)}: failed, or is not the reference's depth; the lines above say why")
    if outcome.result.invalid_because:
        problem = f"{'; '.join(outcome.result.invalid_because)}; close what else runs and measure again"
        if not allow_noisy:
            raise MeasurementError(f"not valid: {problem}, or pass --allow-noisy")
        say(f"warning: too noisy to measure: {problem}")
    else:
        keep_ranking(outcome.result)


@main.command()
@click.argument("model", type=PATH)
@click.option("--data", type=PATH, required=True, help="Data set of frames with depth.")
@click.option("--split", help="Split of the data set.  [default: the last, which training does not see]")
@click.option("--protocol", default="seed", show_default=True, help="How accuracy is averaged.")
@click.option("--backend", default="auto", show_default=True, help="Of a bundle; auto: the fastest verified one here.")
@click.option("--precision", default="auto", show_default=True, help="Of a bundle.")
@click.option("--json", "json_path", type=PATH, help="Write the figures as JSON.")
def accuracy(
    model: Path, data: Path, split: str | None, protocol: str, backend: str, precision: str, json_path: Path | None
) -> None:
    """Judge MODEL, a checkpoint or a bundle, against the ground truth of every frame of a split.

    Protocols: seed (depth clipped, 224x224 px, batches of 32), seed-raw (the same with a checkpoint's own output,
    unclamped), nyu, kitti and kitti-eigen. Figures of two protocols cannot be compared.

    \b
    mde-bench accuracy model.mde --data data
    mde-bench accuracy model.ckpt --data data --protocol seed-raw
    """
    from mde_bench.accuracy import judge_file
    from mde_runtime import files, records

    judged = judge_file(model, data, split, protocol, backend, precision)
    if json_path:
        files.write_text(json_path, records.dumps(judged))
    say(f"{judged.model} ({judged.executor}), {judged.num_frames} frames of {judged.split!r}, protocol {protocol}")
    for name, value in (judged.figures.values | judged.beside).items():
        click.echo(f"{name:18} {value:.5f}")


def _print(result: "Result") -> None:
    from rich.console import Console

    from mde_bench.table import table_of

    Console(width=None if sys.stdout.isatty() else 200).print(table_of(result))
