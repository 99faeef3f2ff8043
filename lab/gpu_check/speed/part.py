"""The bench part: the chip's rates, then network after network as long as there is time for the next."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

from lab.gpu_check.clock import Clock
from lab.gpu_check.commands import Invocation, in_a_process
from lab.gpu_check.lines import Line
from lab.gpu_check.request import Request
from lab.gpu_check.speed.chip import Chip
from lab.gpu_check.speed.measuring import PART, lines_of_network
from lab.gpu_check.speed.networks import Model, checkpoint_of
from lab.gpu_check.speed.ways import GPU, REHEARSAL, Setting
from mde_runtime.command import say
from mde_runtime.errors import VerdictError


def bench_lines(request: Request, clock: Clock) -> Iterator[Line]:
    """Measure what the setting of the device asks for."""
    yield from lines_of_setting(REHEARSAL if request.rehearsal else GPU, request, clock)


def lines_of_setting(setting: Setting, request: Request, clock: Clock) -> Iterator[Line]:
    """The chip's line, then those of every network."""
    models = [_model(name, setting, request) for name in setting.networks]
    yield from _exports(models)
    chip: Chip | None = None
    for number, model in enumerate(model for model in models if model.bundle.exists()):
        reckoned_s = setting.seconds_of(model.name)
        if clock.left_s() < reckoned_s:
            problem = f"{clock.left_s():.0f} s were left of the {reckoned_s:.0f} needed; give it more MINUTES"
            yield Line(PART, model.name, "absent", {}, problem)
            continue
        if number == 0:
            chip, line = _chip(setting)
            yield line
        say(f"{model.name}: some {reckoned_s:.0f} s ...")
        yield from lines_of_network(setting, model, chip)


def _model(name: str, setting: Setting, request: Request) -> Model:
    folder = request.out / "models"
    return Model(name, checkpoint_of(name, setting.size_px, request.models, folder), folder / f"{name}.mde")


def _exports(models: list[Model]) -> Iterator[Line]:
    """Export, side by side, what was not exported before; a line for each that cannot be."""
    running = [
        (model, command, command.start())
        for model in models
        if not model.bundle.exists()
        for command in (export_of(model.checkpoint, model.bundle),)
    ]
    for model, command, process in running:
        yield from _ended(model, command, process)


def export_of(checkpoint: Path, bundle: Path) -> Invocation:
    """The command that makes a bundle in FP32 and FP16 whose batch is open: every size becomes a graph of its own."""
    batch = ("--batch", "1:2:4")  # its check runs so many at once, in emulated half
    return Invocation("mde-export", checkpoint, "--fp16", *batch, "--engine", "none", "-o", bundle)


def _ended(model: Model, command: Invocation, process: "subprocess.Popen[bytes]") -> Iterator[Line]:
    try:
        command.check(process.wait())
    except VerdictError as error:
        yield Line(PART, f"{model.name}, export", "failed", {}, str(error))


def _chip(setting: Setting) -> tuple[Chip | None, Line]:
    """The chip's rates, None where they cannot be measured, and the line that says so."""
    arguments = (setting.device, setting.copy_bytes, setting.matrix_side)
    try:
        chip = in_a_process(Chip, "lab.gpu_check.speed.chip:measure_chip", *arguments)
    except VerdictError as error:
        return None, Line("chip", "its rates", "failed", {}, str(error))
    return chip, _line_of_chip(chip)


def _line_of_chip(chip: Chip) -> Line:
    figures = {
        "copy_gb_per_s": chip.copy_bytes_per_s / 1e9,
        **{f"{name}_tflop_per_s": 2 * rate / 1e12 for name, rate in chip.macs_per_s.items()},
        "upload_gb_per_s": chip.upload_bytes_per_s / 1e9,
        "download_gb_per_s": chip.download_bytes_per_s / 1e9,
        "launch_us": chip.launch_s * 1e6,
    }
    return Line("chip", chip.device, "passed", figures, "copies count bytes read and written; matrices are random")
