"""The engine at the end of an export, where this machine can build one. Engines never travel in a bundle."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mde_export.certify import Trial
from mde_export.steps import Step
from mde_runtime.certificate import Precision
from mde_runtime.engines.build import BuildOptions, build_engine
from mde_runtime.engines.flavours import Flavour, version_of
from mde_runtime.errors import MachineError

EngineChoice = Literal["auto", "none", "tensorrt", "tensorrt-rtx"]
SUFFIXES: dict[Flavour, str] = {"tensorrt": ".engine", "tensorrt-rtx": ".rtx.engine"}


@dataclass(frozen=True)
class BuiltEngine:
    """A plain engine, as trtexec opens it."""

    flavour: Flavour
    version: str
    precision: Precision
    content: bytes

    @property
    def suffix(self) -> str:
        """What its file's name ends in."""
        return SUFFIXES[self.flavour]


def build_for(
    choice: EngineChoice, trials: Sequence[Trial], batch: tuple[int, int, int], step: Step
) -> BuiltEngine | None:
    """Build what was asked for. auto: TensorRT where it and a GPU are, else None. none: None.

    Of the FP16 graph where there is one, else of the last: INT8 is slower than FP16 on some GPUs.
    batch: the fewest, usual and most frames at once.
    Raises MachineError when a named engine cannot be built here.
    """
    flavour = flavour_of(choice)
    if flavour is None:
        return None
    chosen = next((trial for trial in trials if trial.precision == "fp16"), trials[-1])
    with step(f"engine: {chosen.precision}, {flavour} {version_of(flavour)}") as moved_on:
        content = build_engine(chosen.graph, flavour, BuildOptions(batch=batch), moved_on=moved_on)
    return BuiltEngine(flavour, version_of(flavour), chosen.precision, content)


def flavour_of(choice: EngineChoice) -> Flavour | None:
    """The TensorRT that `choice` means on this machine; None: none."""
    if choice == "none":
        return None
    if choice != "auto":
        return choice
    if not _has_nvidia_gpu():
        return None
    try:
        version_of("tensorrt")
    except MachineError:
        return None
    return "tensorrt"


def _has_nvidia_gpu() -> bool:
    """Whether a driver shows a GPU: a desktop's or server's, or a Jetson's."""
    devices = ("/dev/nvidia0", "/dev/nvhost-gpu", "/dev/nvgpu")
    return any(Path(device).exists() for device in devices) or shutil.which("nvidia-smi") is not None
