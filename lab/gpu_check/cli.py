"""The command behind `make gpu-check`."""

import importlib
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path

import click

from lab.gpu_check.clock import Clock
from lab.gpu_check.lines import SCHEMA, GpuCheck, Line, as_markdown
from lab.gpu_check.request import Rehearsal, Request
from mde_runtime import __version__, files, records
from mde_runtime.command import PATH, Command, Real, say
from mde_runtime.errors import MachineError, MdeError, UsageError, VerdictError
from mde_runtime.machine import this_machine

Part = Callable[[Request, Clock], Iterator[Line]]
PARTS = {  # imported when their turn comes: what one part lacks costs no other
    "tests": "lab.gpu_check.suite:suite_lines",
    "bench": "lab.gpu_check.speed.part:bench_lines",
    "bundle": "lab.gpu_check.bundle:bundle_lines",
    "train": "lab.gpu_check.train.part:train_lines",
    "robustness": "lab.gpu_check.robustness:robustness_lines",
}
WITHOUT_A_GPU = ("robustness",)
DEFAULT_PARTS = ("tests", "bench")  # the others take what has to be given


@click.command(cls=Command)
@click.option("--only", type=click.Choice(tuple(PARTS)), help="One part.  [default: tests and bench]")
@click.option(
    "--minutes", type=Real(0), default=8.0, show_default=True, help="For everything; training goes on at the next call."
)
@click.option("--models", type=PATH, help="bench: checkpoints NAME.ckpt; the others get random weights.")
@click.option("--bundle", type=PATH, help="bundle, robustness: what is judged.")
@click.option("--data", type=PATH, help="train, bundle, robustness: frames with depth.")
@click.option("--jobs", help="train: job names or groups, with commas between.  [default: recipes]")
@click.option("--wheels", type=PATH, help="A folder of wheels to use in this run, beside what is installed.")
@click.option("--out", type=PATH, default=Path("out/gpu-check"), show_default=True, help="Folder for all results.")
@click.option("--rehearse", is_flag=True, help="On a CPU, as small as can be: whether everything is in place.")
@click.option("--plan", is_flag=True, help="Say what would be done and about how long it takes, and end.")
def main(
    only: str | None,
    minutes: float,
    models: Path | None,
    bundle: Path | None,
    data: Path | None,
    jobs: str | None,
    wheels: Path | None,
    out: Path,
    rehearse: bool,
    plan: bool,
) -> None:
    """Check what needs an NVIDIA GPU, and write OUT/gpu-check.json and OUT/gpu-check.md (with --only: OUT/PART.*).

    Without a GPU the exit code is 4; it is 1 where something failed or an aim was missed.
    """
    from lab.gpu_check.plan import plan_of
    from mde_bench.machine.nvidia import gpu_name

    parts = (only,) if only else DEFAULT_PARTS
    if plan:
        click.echo(plan_of(parts, jobs, minutes, is_rehearsal=rehearse), nl=False)
        return
    gpu = "rehearsal on a CPU" if rehearse else "no GPU is needed" if only in WITHOUT_A_GPU else gpu_name()
    request, clock = Request(out, models, bundle, data, jobs, Rehearsal() if rehearse else None), Clock(minutes)
    _keep_apart(out)
    lines = _prepared(wheels, out)
    for name in parts:
        say(f"{name} ...")
        for line in _tried(name, request, clock):
            lines.append(line)
            check = _check(gpu, clock, lines)  # kept at every line: a command that is killed has not lost what it had
            files.write_text(out / f"{only or 'gpu-check'}.json", records.dumps(check))
            files.write_text(out / f"{only or 'gpu-check'}.md", as_markdown(check))
    click.echo(as_markdown(_check(gpu, clock, lines)), nl=False)
    if failed := [line.what for line in lines if line.verdict == "failed"]:
        raise VerdictError(f"failed: {', '.join(failed)}; the tables say how")
    if all(line.verdict == "absent" for line in lines):
        raise MachineError(f"nothing could be checked on {gpu}; the tables say what is missing")


def _keep_apart(out: Path) -> None:
    """Engines and verifications of a check stay in its own folder."""
    cache = out.absolute() / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    cache.chmod(0o700)
    os.environ.setdefault("MDE_CACHE", str(cache))


def _prepared(wheels: Path | None, out: Path) -> list[Line]:
    """Install the wheels; a line for everything that is still missing."""
    from lab.gpu_check.wheels import install, lines_of_libraries

    if wheels is not None:
        install(wheels, out.absolute() / "site")
    return lines_of_libraries()


def _tried(name: str, request: Request, clock: Clock) -> Iterator[Line]:
    """The lines of a part, up to where it broke off."""
    started = time.perf_counter()
    try:
        module, _, function = PARTS[name].partition(":")
        part: Part = getattr(importlib.import_module(module), function)
        yield from part(request, clock)
    except (MachineError, ImportError) as error:
        yield Line(name, name, "absent", {}, str(error))
    except UsageError:
        raise
    except Exception as error:  # noqa: BLE001  whatever breaks one part on a new machine, the others go on
        traceback.print_exc()
        said = str(error) if isinstance(error, MdeError) else f"{type(error).__name__}: {error}"
        yield Line(name, name, "failed", {}, said)
    say(f"{name}: {time.perf_counter() - started:.1f} s")


def _check(gpu: str, clock: Clock, lines: list[Line]) -> GpuCheck:
    from lab.gpu_check.wheels import versions

    date = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    command = " ".join(("gpu-check", *sys.argv[1:]))
    tool = f"mde-toolchain {__version__}"
    return GpuCheck(SCHEMA, tool, this_machine(), gpu, date, command, versions(), clock.spent_s(), tuple(lines))
