"""The engine at the end of an export, where this machine can build one. Engines never travel in a bundle."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir

from mde_export.graph.stages import is_stage
from mde_export.judge.certify import Trial
from mde_export.judge.evidence import Evidence
from mde_export.precision.islands import REFUSED, names_in
from mde_export.request.choices import EngineChoice
from mde_export.steps import Step
from mde_runtime.certificate import Island
from mde_runtime.engines.build import BuildOptions, RefusedError, build_engine
from mde_runtime.engines.flavours import Flavour, version_of
from mde_runtime.errors import MachineError
from mde_runtime.precision import Precision

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
    choice: EngineChoice,
    trials: Sequence[Trial],
    model: ir.Model,
    evidence: Evidence,
    batch: tuple[int, int, int],
    step: Step,
) -> tuple[BuiltEngine | None, list[Trial]]:
    """Build what was asked for. auto: TensorRT where it and a GPU are, else None. none: None.

    Of the FP16 graph where there is one, else of the last: INT8 is slower than FP16 on some GPUs. Nodes that the
    builder has no implementation for are kept in FP32; the trials given back are with what came of that.
    model: the FP32 graph with its stages. batch: the fewest, usual and most frames at once.
    Raises MachineError when a named engine cannot be built here.
    """
    flavour = flavour_of(choice)
    if flavour is None:
        return None, list(trials)
    chosen = next((trial for trial in trials if trial.precision == "fp16"), trials[-1])
    name = f"{flavour} {version_of(flavour)}"
    with step(f"engine: {chosen.precision}, {name}") as advance:

        def build(graph: bytes) -> bytes:
            return build_engine(graph, flavour, BuildOptions(batch=batch), advance=advance)

        content, islands = _buildable(chosen, model, REFUSED.format(name), build)
    built = chosen
    if islands != chosen.kept_fp32 and chosen.lowering is not None:
        with step(f"{chosen.precision}: certificate with what {name} needs") as advance:
            built = chosen.lowering(islands, evidence, advance)
    engine = BuiltEngine(flavour, version_of(flavour), chosen.precision, content)
    return engine, [built if trial is chosen else trial for trial in trials]


def _buildable(
    trial: Trial, model: ir.Model, reason: str, build: Callable[[bytes], bytes]
) -> tuple[bytes, tuple[Island, ...]]:
    """The engine, and what its graph keeps in FP32: what the trial keeps, and each node that the builder refuses."""
    graph, islands = trial.graph, trial.kept_fp32
    while True:
        try:
            return build(graph), islands
        except RefusedError as refused:  # noqa: PERF203  seconds a turn
            nodes = _nodes_in(model, refused.regions) - names_in(islands)
            if trial.lowering is None or not nodes:
                raise
            in_order = tuple(node.name for node in model.graph if node.name in nodes)
            islands = (*islands, Island(in_order, reason, None))
            graph = trial.lowering.graph(islands)


def _nodes_in(model: ir.Model, regions: Sequence[tuple[str, str]]) -> set[str]:
    """The names of the network's nodes in the regions, from the first to the last in the graph's order."""
    names = [node.name for node in model.graph if node.name and not is_stage(node.name)]
    places = {name: place for place, name in enumerate(names)}
    found: set[str] = set()
    for first, last in regions:
        if first in places and last in places:
            found.update(names[places[first] : places[last] + 1])
    return found


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
