"""The base and the `cpu` extra on an emulated Arm processor: `python -m lab.arm64 BUNDLE [FRAME]`, on Debian.

Fetches an emulator, Debian's Python for arm64 and the wheels for aarch64 into build/arm64, once, and changes nothing
else on this machine. Then verifies the bundle emulated and predicts one picture there and here.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import click
import numpy as np

from lab.arm64.emulator import CPUS, command, cpuinfo
from lab.arm64.fetched import ROOT, fetch
from lab.arm64.table import Row, as_markdown
from mde_runtime.bundle import read_bundle
from mde_runtime.command import PATH, Command, OneOf, say
from mde_runtime.errors import BadInputError, MachineError, one_line
from mde_runtime.precision import PRECISIONS

INSIDE = Path(__file__).with_name("inside.py")
FOLDER = ROOT / "build/arm64"
PREDICT = "from mde_runtime.cli.predict import main; main()"
BACKEND = "onnxruntime-cpu"


@click.command(cls=Command)
@click.argument("bundle", type=PATH)
@click.argument("frame", type=PATH, default=ROOT / "samples/street.jpeg")
@click.option("--cpu", type=OneOf(tuple(CPUS)), default="cortex-a76", show_default=True, help="QEMU's processor.")
@click.option("--precision", "asked", type=OneOf(PRECISIONS), multiple=True, help="May be repeated. By default all.")
def main(bundle: Path, frame: Path, cpu: str, asked: tuple[str, ...]) -> None:
    """Verify BUNDLE and predict FRAME on an emulated Arm processor. Minutes a precision; numerics, not speed."""
    bundle, frame = bundle.resolve(), frame.resolve()
    precisions = asked or read_bundle(bundle).precisions
    if not frame.is_file():
        raise BadInputError(f"{frame} is no file; give one picture")
    python = fetch(FOLDER)
    (FOLDER / f"cpuinfo-{cpu}").write_text(cpuinfo(cpu))
    rows = [_measured(bundle, frame, cpu, python, precision) for precision in precisions]
    click.echo(as_markdown(rows))


def _measured(bundle: Path, frame: Path, cpu: str, python: str, precision: str) -> Row:
    """A precision's row: its verification and, where it passes, the depth of the frame beside this machine's."""
    say(f"{cpu}, {precision}: the golden frames")
    started = time.monotonic()
    inside = command(FOLDER, cpu, python, [str(INSIDE), str(bundle), precision], [bundle.parent])
    found = json.loads(_told(inside).splitlines()[-1])
    if found["machine"] != "aarch64":
        raise MachineError(
            f"the emulation shows {found['machine']}, not aarch64; remove {FOLDER} and run lab.arm64 again"
        )
    say(f"{cpu}, {precision}: worst RMSE {found['rmse_worst_m']:.6f} m, after {time.monotonic() - started:.0f} s")
    return Row(
        cpu=cpu,
        precision=precision,
        executor=found["executor"],
        rmse_worst_m=found["rmse_worst_m"],
        p999_m=found["p999_m"],
        breaches=tuple(found["breaches"]),
        difference_m=None if found["breaches"] else _difference_m(bundle, frame, cpu, python, precision),
    )


def _difference_m(bundle: Path, frame: Path, cpu: str, python: str, precision: str) -> float:
    """The largest difference, over all pixels, of `mde-predict`'s depth there and here."""
    say(f"{cpu}, {precision}: mde-predict, there and here")
    there, here = (FOLDER / f"depth-{name}-{precision}" for name in (cpu, "here"))
    words = ["-c", PREDICT, str(bundle), str(frame), "--backend", BACKEND, "--precision", precision, "--out"]
    _told(command(FOLDER, cpu, python, [*words, str(there)], [bundle.parent, frame.parent]))
    own = {**os.environ, "PYTHONPATH": str(ROOT / "runtime"), "MDE_CACHE": str(FOLDER / "cache-here")}
    _told([sys.executable, *words, str(here)], own)
    depths_m = [np.load(next(folder.glob("*.npy"))) for folder in (there, here)]
    return float(np.abs(depths_m[0] - depths_m[1]).max())


def _told(words: list[str], environment: dict[str, str] | None = None) -> str:
    """A command's output. Raises MachineError with its last words where it fails."""
    ended = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    if ended.returncode:
        last = one_line((ended.stderr.strip() or f"exit code {ended.returncode}").splitlines()[-1])
        raise MachineError(f"{Path(words[0]).name} failed: {last}; run lab.arm64 again, or remove {FOLDER} first")
    return ended.stdout


if __name__ == "__main__":
    main(prog_name="lab.arm64")
