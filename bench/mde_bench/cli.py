"""`mde-bench`: how fast, how faithful, how right."""

import functools
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from mde_bench.timing.effort import EFFORTS, NORMAL, Effort
from mde_bench.timing.modes import MODES, Mode, ModeSettings
from mde_runtime.cli.backend_options import BACKEND, PRECISION
from mde_runtime.command import FOCAL_PX, OUTPUT, PATH, Group, OneOf, Real, Whole, say
from mde_runtime.errors import MeasurementError, UsageError, VerdictError
from mde_runtime.protocols import AUTO, PROTOCOLS, ProtocolRow

if TYPE_CHECKING:
    from mde_bench.result.result import Result

POSITIVE = Real(0, min_open=True)
CORES = Whole(1, os.cpu_count())


def _helps(rows: Mapping[str, Effort | Mode | ProtocolRow]) -> str:
    return "; ".join(f"{name}: {row.help}" for name, row in rows.items())


DATA = click.option("--data", type=PATH, required=True, help="Data set of frames with depth.")
SPLIT = click.option("--split", help="Split of the data set.  [default: the last, unseen in training]")
PROTOCOL = click.option(
    "--protocol",
    type=OneOf((AUTO, *PROTOCOLS)),
    default=AUTO,
    show_default=True,
    help=f"Accuracy protocol. auto: the usual one for the data set's layout, see mde-data check; {_helps(PROTOCOLS)}.",
)
CI = click.option(
    "--ci", type=PATH, help="Write junit.xml, summary.md and benchmark.json (github-action-benchmark) to this folder."
)
EFFORT = click.option(
    "--effort",
    type=OneOf(tuple(EFFORTS)),
    default=NORMAL.name,
    show_default=True,
    help=f"How long to measure. {_helps(EFFORTS)}.",
)
ONLY = click.option(
    "--only",
    multiple=True,
    help="Measure only these candidates; * matches anything: 'openvino *'. May be repeated.",
)


@click.group(cls=Group)
def main() -> None:
    """Measure a bundle: its speed, its fidelity to the PyTorch model, its accuracy.

    Every figure is reported with its protocol and conditions; docs/method.md defines them.
    """


RUN_GROUPS = {
    "Accuracy": ("data", "split", "num_frames", "protocol", "checkpoint"),
    "Timing": ("effort", "only", "num_threads", "modes", "fps", "minutes", "allow_noisy"),
    "Output": ("report", "json_path", "gate_path", "ci"),
}


@main.command(groups=RUN_GROUPS)
@click.argument("bundle", type=PATH)
@DATA
@click.option("--checkpoint", type=PATH, help="The bundle's checkpoint, to measure parity against PyTorch itself.")
@SPLIT
@click.option(
    "--frames",
    "num_frames",
    type=Whole(1),
    default=50,
    show_default=True,
    help="Number of frames, evenly spaced over the split.",
)
@PROTOCOL
@click.option("--threads", "num_threads", type=CORES, help="CPU threads.  [default: all cores]")
@click.option(
    "--mode",
    "modes",
    multiple=True,
    type=OneOf(tuple(MODES)),
    help=f"Measure this as well as the single stream. {_helps(MODES)}. May be repeated.",
)
@click.option("--fps", type=POSITIVE, default=30.0, show_default=True, help="With --mode paced: frames per second.")
@click.option(
    "--minutes", type=POSITIVE, default=15.0, show_default=True, help="With --mode sustained: minutes per candidate."
)
@ONLY
@EFFORT
@click.option("--report", type=OUTPUT, help="Write a self-contained HTML page.")
@click.option("--json", "json_path", type=OUTPUT, help="Write everything as JSON, including the raw samples.")
@click.option("--gate", "gate_path", type=PATH, help="Limits in TOML; the exit code is 1 if one is exceeded.")
@CI
@click.option("--allow-noisy", is_flag=True, help="Warn instead of failing when the measurement did not settle.")
def run(
    bundle: Path,
    data: Path,
    checkpoint: Path | None,
    split: str | None,
    num_frames: int,
    protocol: str,
    num_threads: int | None,
    modes: tuple[str, ...],
    fps: float,
    minutes: float,
    only: tuple[str, ...],
    effort: str,
    report: Path | None,
    json_path: Path | None,
    gate_path: Path | None,
    ci: Path | None,
    allow_noisy: bool,
) -> None:
    """Measure BUNDLE on every backend of this machine, in turns, each in its own process.

    A failing candidate loses only its own row; the rest are still measured. The exit code is 1 if no candidate can be
    shipped, or if one named by the gate fails or exceeds a limit. It is 5 if the figures never settled, and the run is
    then not valid: close other programs and measure again.

    The estimator's `auto` uses the order of the last valid full run on this machine (without --only or --threads).

    \b
    mde-bench run model.mde --data data --checkpoint model.ckpt \\
        --report bench.html --json bench.json
    """
    from mde_bench.accuracy.frames import Excerpt
    from mde_bench.plan import plan_run
    from mde_bench.report.ci import write_ci_files
    from mde_bench.result.gate import checks, read_gate
    from mde_bench.result.ranking import keep_ranking
    from mde_bench.result.result import save
    from mde_bench.run import carry_out

    gate = read_gate(gate_path) if gate_path else None
    settings = ModeSettings(names=modes, fps=fps, minutes=minutes)
    excerpt = Excerpt(data, split, num_frames)
    plan = plan_run(bundle, checkpoint, excerpt, protocol, num_threads, EFFORTS[effort], only, settings)
    outcome = carry_out(plan, lambda result: save(result, json_path) if json_path else None)
    result = outcome.result
    _print(result)
    if report:
        from mde_bench.report.page import write_report

        write_report(outcome, plan.scene, report)
        click.echo(report)
    found = checks(result, gate)
    if ci:
        write_ci_files(result, found, ci)
    keep_ranking(result, is_ranking=plan.is_ranking)
    _conclude(result, [f"{check.candidate}: {check.breach}" for check in found if check.breach], allow_noisy)


ACCURACY_GROUPS = {
    "Data": ("data", "split", "protocol"),
    "Bundle": ("backend", "precision", "calibration", "focal_px"),
    "Output": ("json_path", "picture"),
}


@main.command(groups=ACCURACY_GROUPS)
@click.argument("model", type=PATH, required=False)
@click.option(
    "--depth",
    type=PATH,
    metavar="DIR",
    help="Instead of MODEL: a folder with the depth of every frame, FRAME.npy (m) or FRAME.png (16-bit, mm), from "
    "any engine.",
)
@DATA
@SPLIT
@PROTOCOL
@BACKEND
@PRECISION
@click.option(
    "--calibration", type=PATH, help="Calibration of the camera that took DATA: camera.json from mde-bundle calibrate."
)
@click.option(
    "--focal-px",
    type=FOCAL_PX,
    help="That camera's focal length in px at the frame size, for bundles whose metres depend on it.",
)
@click.option("--json", "json_path", type=OUTPUT, help="Write the figures as JSON.")
@click.option(
    "--picture", type=OUTPUT, help="Show the best, median and worst frames beside the ground truth (png, jpg)."
)
def accuracy(
    model: Path | None,
    depth: Path | None,
    data: Path,
    split: str | None,
    protocol: str,
    backend: str,
    precision: str,
    calibration: Path | None,
    focal_px: float | None,
    json_path: Path | None,
    picture: Path | None,
) -> None:
    """Score MODEL, a checkpoint or a bundle, or a folder of depth, against the ground truth of a whole split.

    Do not compare figures across protocols.

    \b
    mde-bench accuracy model.mde --data data --picture worst.png
    mde-bench accuracy model.ckpt --data data --protocol seed-raw
    mde-bench accuracy --depth from-my-engine/ --data data
    """
    from mde_bench.accuracy.judge import judge_depth, judge_file
    from mde_bench.report.extremes import check_format, write_sheet
    from mde_runtime import files, records

    if picture:
        check_format(picture)
    show = functools.partial(write_sheet, path=picture) if picture else None
    if (model is None) == (depth is None):
        raise click.UsageError("pass either MODEL or --depth DIR")
    if model is not None:
        judged = judge_file(model, data, split, protocol, backend, precision, show, calibration, focal_px)
    else:
        assert depth is not None
        if picture or (backend, precision, calibration, focal_px) != ("auto", "auto", None, None):
            raise click.UsageError("--depth is judged as it is; leave options of a bundle and --picture out")
        judged = judge_depth(depth, data, split, protocol)
    if json_path:
        files.write_text(json_path, records.dumps(judged))
    judged_on = f"{judged.num_frames} frames of {judged.split!r}, protocol {judged.figures.protocol}"
    say(f"{judged.model} ({judged.executor}), {judged_on}")
    flicker = {} if judged.flicker_m is None else {"flicker_m": judged.flicker_m}
    for name, value in (judged.figures.values | judged.beside | flicker).items():
        click.echo(f"{name:18} {value:.5f}")


COMPARE_GROUPS = {
    "With what": ("old", "baseline"),
    "Timing": ("effort", "only", "num_threads", "rule_out_percent", "cpu_time"),
    "Output": ("json_path", "ci"),
}


@main.command(groups=COMPARE_GROUPS)
@click.argument("new", type=PATH)
@click.option("--against", "old", type=PATH, help="The bundle to compare with, in one interleaved run.")
@click.option(
    "--baseline", type=PATH, help="Or a JSON from `mde-bench run` on this machine: faster, but less sensitive."
)
@click.option("--threads", "num_threads", type=CORES, help="With --against: CPU threads.  [default: all cores]")
@click.option(
    "--rule-out-percent",
    type=Real(0.1, 100),
    default=5.0,
    show_default=True,
    help="With --against: continue until a larger change is ruled out. Smaller values take longer.",
)
@click.option("--cpu-time", is_flag=True, help="With --against: compare processor time, for shared machines.")
@ONLY
@EFFORT
@click.option(
    "--json", "json_path", type=OUTPUT, help="Write the comparison as JSON, including the ratio of every launch."
)
@CI
def compare(
    new: Path,
    old: Path | None,
    baseline: Path | None,
    num_threads: int | None,
    rule_out_percent: float,
    cpu_time: bool,
    only: tuple[str, ...],
    effort: str,
    json_path: Path | None,
    ci: Path | None,
) -> None:
    """Test whether NEW is slower. The exit code is 1 if it is, on any backend and precision that both have.

    NEW counts as slower only if the whole confidence interval of the time ratio is above 1. The test stops once that
    is so, or once a change of --rule-out-percent is ruled out. If neither happens, the machine is too busy and the
    exit code is 5. --effort limits the number of launches; the verdict states its rate of false alarms.

    \b
    mde-bench compare new.mde --against old.mde
    mde-bench compare new.mde --baseline bench.json
    """
    from mde_bench.compare.baseline import compare_with_baseline
    from mde_bench.compare.bundles import compare_bundles, processor, wall
    from mde_bench.report.ci import write_comparison_files
    from mde_bench.report.table import by_reason
    from mde_runtime import files, records

    clock, rule_out = processor if cpu_time else wall, rule_out_percent / 100
    if old is not None and baseline is None:
        found = compare_bundles(new, old, num_threads, clock, rule_out, EFFORTS[effort], only, _tell)
    elif baseline is not None and old is None:
        _refuse_beside_baseline()
        found = compare_with_baseline(new, baseline, EFFORTS[effort], only, _tell)
    else:
        raise UsageError("pass either --against OLD.mde or --baseline FILE.json")
    if json_path:
        files.write_text(json_path, records.dumps(found))
    if ci:
        write_comparison_files(found, f"{new.name} against {(old or baseline or new).name}", ci)
    for comparison in found.comparisons:
        click.echo(str(comparison))
    say(found.stated)
    for reason, names in by_reason(found.left_out).items():
        say(f"not compared: {', '.join(names)}: {reason}")
    if slower := [comparison.name for comparison in found.comparisons if comparison.verdict == "slower"]:
        raise VerdictError(f"{new.name} is slower on {', '.join(slower)}")
    if open_ones := [comparison.name for comparison in found.comparisons if comparison.verdict == "undecided"]:
        raise MeasurementError(
            f"not decided on {', '.join(open_ones)}: close other programs, or use --cpu-time, a larger "
            "--rule-out-percent or a larger --effort"
        )


def _tell(line: str) -> None:
    """A line of progress where there is no terminal to show a bar on."""
    if not sys.stderr.isatty():
        say(line)


def _refuse_beside_baseline() -> None:
    """Raises UsageError for what was asked for but is settled by a baseline."""
    source = click.get_current_context().get_parameter_source
    options = {"num_threads": "--threads", "rule_out_percent": "--rule-out-percent", "cpu_time": "--cpu-time"}
    if given := [option for name, option in options.items() if source(name) is not ParameterSource.DEFAULT]:
        raise UsageError(f"{', '.join(given)} goes with --against; leave it out beside --baseline")


def _conclude(result: "Result", breaches: list[str], allow_noisy: bool) -> None:
    """Say what speaks against a result, and raise what its exit code is to be."""
    for breach in breaches:
        say(breach)
    if breaches:
        raise VerdictError(f"{len(breaches)} of the checks failed")
    if result.invalid_because:
        problem = f"{'; '.join(result.invalid_because)}; close other programs and measure again"
        if not allow_noisy:
            raise MeasurementError(f"not valid: {problem}, or pass --allow-noisy")
        say(f"warning: too noisy to measure: {problem}")


def _print(result: "Result") -> None:
    from rich.console import Console

    from mde_bench.report.table import terminal_table

    Console(width=None if sys.stdout.isatty() else 200).print(terminal_table(result))
