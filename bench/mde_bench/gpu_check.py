"""`make gpu-check`: what only a machine with an NVIDIA GPU can show, as one JSON and one Markdown table.

Three parts: the tests marked `gpu`, training for half a minute, and the GPU rows of the bench. A part that this machine
cannot do says why and costs only itself, so on a Jetson without torch the runtime's rows are measured all the same.
"""

import csv
import ctypes
import importlib.util
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import click

from mde_bench.result import Result, read_result
from mde_runtime import __version__, files, records
from mde_runtime.backends import BACKENDS
from mde_runtime.bundle import read_bundle
from mde_runtime.command import PATH, Command, say
from mde_runtime.errors import MachineError, VerdictError
from mde_runtime.machine import Machine, this_machine

SCHEMA = 1
COMMANDS = {
    "mde-data": "mde_train.cli.data",
    "mde-train": "mde_train.cli.train",
    "mde-export": "mde_export.cli",
    "mde-bundle": "mde_runtime.cli.bundle",
    "mde-bench": "mde_bench.cli",
}
ENGINES = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}  # flavour to the library that builds it
NUM_SCENES = 400  # every fifth is held out, and a certificate needs 64 of them
TRAINING_MINUTES = 0.5


@dataclass(frozen=True)
class Line:
    """One thing that was tried. figures: by name, with the unit in it."""

    part: str
    what: str
    verdict: Literal["passed", "failed", "absent"]  # absent: this machine lacks what it needs
    figures: dict[str, float]
    detail: str


@dataclass(frozen=True)
class GpuCheck:
    """What one machine showed."""

    schema: int
    tool: str
    machine: Machine
    gpu: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Place:
    """Where the check reads and writes."""

    out: Path
    bundle: Path | None
    data: Path | None

    def scenes(self) -> Path:
        """The data set: the given one, the demo's, or one that is made for the check."""
        for known in (self.data, Path("demo/scenes")):
            if known and known.exists():
                return known
        made = self.out / "scenes"
        ran("mde-data", "synth", made, "--frames", NUM_SCENES)
        return made

    def model(self) -> Path:
        """The bundle: the given one, the demo's, or one that is exported from what the check has trained."""
        for known in (self.bundle, Path("demo/fast.mde"), self.out / "fast.mde"):
            if known and known.exists():
                return known
        checkpoint = self.out / "run" / "best.ckpt"
        if not checkpoint.exists():
            raise MachineError("no bundle here: make demo on any machine, bring demo/fast.mde, and give it by --bundle")
        ran("mde-export", checkpoint, "--fp16", "--engine", "none", "-o", self.out / "fast.mde")
        return self.out / "fast.mde"


@click.command(cls=Command)
@click.option("--only", type=click.Choice(["tests", "train", "bench"]), help="One part.  [default: all]")
@click.option("--bundle", type=PATH, help="What the bench measures.  [default: the demo's, or one trained here]")
@click.option("--data", type=PATH, help="Frames with depth.  [default: the demo's, or scenes made here]")
@click.option("--out", type=PATH, default=Path("out/gpu-check"), show_default=True, help="Folder for the results.")
def main(only: str | None, bundle: Path | None, data: Path | None, out: Path) -> None:
    """Check what needs an NVIDIA GPU, and write OUT/gpu-check.json and OUT/gpu-check.md.

    Without a GPU the exit code is 4; it is 1 where something failed.
    """
    gpu = gpu_name()
    place = Place(out, bundle, data)
    lines = [line for name, part in PARTS.items() if only in (None, name) for line in _tried(name, part, place)]
    check = GpuCheck(SCHEMA, f"mde-toolchain {__version__}", this_machine(), gpu, tuple(lines))
    files.write_text(out / "gpu-check.json", records.dumps(check))
    files.write_text(out / "gpu-check.md", as_markdown(check))
    click.echo(as_markdown(check), nl=False)
    if failed := [line.what for line in lines if line.verdict == "failed"]:
        raise VerdictError(f"failed: {', '.join(failed)}; {out / 'gpu-check.md'} says how")
    if all(line.verdict == "absent" for line in lines):
        raise MachineError(f"nothing could be checked on {gpu}; {out / 'gpu-check.md'} says what is missing")


def gpu_name() -> str:
    """The first GPU that CUDA shows. Asks the driver itself: neither torch nor a binding has to be installed."""
    name, count = ctypes.create_string_buffer(256), ctypes.c_int(0)
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        raise MachineError("no NVIDIA GPU here (its driver is not installed); run this where there is one") from error
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
        raise MachineError("no NVIDIA GPU here (the driver sees none); run this where there is one")
    driver.cuDeviceGetName(name, len(name), 0)
    return name.value.decode()


def _tried(name: str, part: Callable[[Place], Iterator[Line]], place: Place) -> list[Line]:
    say(f"{name} ...")
    started, lines = time.perf_counter(), list[Line]()
    try:
        lines.extend(part(place))
    except MachineError as error:
        lines.append(Line(name, name, "absent", {}, str(error)))
    except VerdictError as error:
        lines.append(Line(name, name, "failed", {}, str(error)))
    say(f"{name}: {time.perf_counter() - started:.1f} s")
    return lines


def test_lines(place: Place) -> Iterator[Line]:
    """The tests marked `gpu`: one line for all that passed, one for every other."""
    if not importlib.util.find_spec("pytest"):
        raise MachineError("pytest is not installed here: pip install pytest")
    report = place.out.absolute() / "tests.xml"
    code = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-m", "gpu", f"--junitxml={report}", "tests"], check=False
    ).returncode
    if code == 5:  # pytest's own: nothing was collected
        raise MachineError("no test is marked gpu")
    if code not in (0, 1):
        raise VerdictError(f"pytest ended with {code}; its own words stand above")
    yield from lines_of_tests(report.read_text())


def lines_of_tests(junit_xml: str) -> Iterator[Line]:
    """What pytest's report says."""
    cases = list(ElementTree.fromstring(junit_xml).iter("testcase"))  # pytest's own file
    num_passed = 0
    for case in cases:
        problem = next((child for child in case if child.tag in ("failure", "error", "skipped")), None)
        if problem is None:
            num_passed += 1
            continue
        what = f"{case.get('classname')}::{case.get('name')}"
        verdict: Literal["failed", "absent"] = "absent" if problem.tag == "skipped" else "failed"
        yield Line("tests", what, verdict, {}, problem.get("message", "").splitlines()[0])
    yield Line("tests", f"{num_passed} of {len(cases)} tests", "passed", {}, "")


def train_lines(place: Place) -> Iterator[Line]:
    """Half a minute of training."""
    has_cuda = "import sys, torch; sys.exit(not torch.cuda.is_available())"
    if subprocess.run([sys.executable, "-c", has_cuda], capture_output=True, check=False).returncode:
        raise MachineError("torch with CUDA is not installed here")
    run = place.out / "run"
    for old in (*run.glob("*.ckpt"), *run.glob("curves.csv")):
        old.unlink()
    setting = f"max_minutes={TRAINING_MINUTES}"
    ran("mde-train", "--recipe", "fast-demo", "--data", place.scenes(), "--out", run, "--set", setting)
    yield line_of_training((run / "curves.csv").read_text())


def line_of_training(curves: str) -> Line:
    """How fast it trained, and to what."""
    rows = list(csv.DictReader(curves.splitlines()))
    steps, minutes = int(rows[-1]["step"]), float(rows[-1]["minutes"])
    last = {row["name"]: float(row["value"]) for row in rows}
    figures = {"steps_per_s": steps / (60 * minutes), "val_rmse_m": last["val_rmse_m"]}
    return Line("train", "fast-demo", "passed", figures, f"{steps} steps")


def bench_lines(place: Place) -> Iterator[Line]:
    """The GPU rows of the bench, after every engine was built and verified."""
    bundle, data, result = place.model(), place.scenes(), place.out / "bench.json"
    for flavour, library in ENGINES.items():
        if importlib.util.find_spec(library):
            for precision in read_bundle(bundle).precisions:
                how = ("--flavour", flavour, "--precision", precision)
                ran("mde-bundle", "engine", bundle, *how, codes=(0, 1, 4))  # where it cannot be built, the row says why
    ran("mde-bench", "run", bundle, "--data", data, "--json", result, "--allow-noisy", codes=(0, 1))
    yield from lines_of_bench(read_result(result))


def lines_of_bench(result: Result) -> Iterator[Line]:
    """The rows that a GPU gave, and those that it should have given."""
    for row in result.rows:
        if BACKENDS[row.backend].device == "cuda":
            problem = row.failure or "; ".join(row.parity_breaches)
            figures = dict[str, float]()
            if row.speed:
                figures |= {"p50_ms": 1e3 * row.speed.end_to_end.p50_s, "p99_ms": 1e3 * row.speed.end_to_end.p99_s}
            if row.parity:
                figures |= {"worst_rmse_mm": 1e3 * row.parity.rmse_worst_m}
            yield Line("bench", row.name, "failed" if problem else "passed", figures, problem or row.executor or "")
    for name, reason in result.absent.items():
        if BACKENDS[name.split()[0]].device == "cuda":
            yield Line("bench", name, "absent", {}, reason)
    for reason in result.invalid_because:
        yield Line("bench", "measurement", "absent", {}, f"not valid: {reason}")


PARTS: dict[str, Callable[[Place], Iterator[Line]]] = {
    "tests": test_lines,
    "train": train_lines,  # before the bench, which takes its model where no other is there
    "bench": bench_lines,
}


def ran(name: str, *arguments: object, codes: tuple[int, ...] = (0,)) -> None:
    """Run a command of ours from this very tree. Raises VerdictError for another exit code than `codes`."""
    program = f"from {COMMANDS[name]} import main; main(prog_name={name!r})"
    command = [sys.executable, "-c", program, *map(str, arguments)]
    code = subprocess.run(command, check=False, stdout=sys.stderr).returncode
    if code not in codes:
        raise VerdictError(f"exit code {code} from {name} {' '.join(map(str, arguments))}")


def as_markdown(check: GpuCheck) -> str:
    """One table."""
    rows = [(line.part, line.what, line.verdict, _in_words(line.figures), line.detail) for line in check.lines]
    header = ("part", "what", "verdict", "figures", "detail")
    table = "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
        for cells in (header, ("---",) * len(header), *rows)
    )
    return f"{check.gpu}, {check.machine.system}, {check.tool}\n\n{table}\n"


def _in_words(figures: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in figures.items())


if __name__ == "__main__":
    main(prog_name="gpu-check")
