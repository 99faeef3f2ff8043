"""The engine at the end of an export, where this machine can build one. Engines never travel in a bundle."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir

from mde_export.engine.attempts import Attempt, judged_here
from mde_export.engine.cures import cured
from mde_export.graph.stages import is_stage
from mde_export.judge.certify import Trial
from mde_export.judge.evidence import Evidence
from mde_export.precision.islands import REFUSED, names_in
from mde_export.request.choices import EngineChoice
from mde_export.steps import Step
from mde_runtime.certificate import Island
from mde_runtime.engines.build import BuildOptions, RefusedError, build_engine
from mde_runtime.engines.flavours import Flavour, version_of
from mde_runtime.engines.known_faults import known_fault
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
    is_verified: bool  # it ran here, and its depth was right

    @property
    def suffix(self) -> str:
        """What its file's name ends in."""
        return SUFFIXES[self.flavour]


@dataclass(frozen=True)
class EngineResult:
    """What came of an engine that was asked for."""

    engine: BuiltEngine | None  # None: none was asked for, or each that was built gives wrong depth
    trials: tuple[Trial, ...]  # of the export, with what the engine needs in FP32
    tried: tuple[str, ...] = ()  # a line for every build of which verification said no, and for what came after

    @property
    def is_wrong(self) -> bool:
        """Whether an engine was built, and none of its cures gave right depth."""
        return self.engine is None and bool(self.tried)


def build_for(
    choice: EngineChoice,
    trials: Sequence[Trial],
    model: ir.Model,
    evidence: Evidence,
    batch: tuple[int, int, int],
    step: Step,
) -> EngineResult:
    """Build what was asked for. auto: TensorRT where it and a GPU are, else none.

    Of the FP16 graph where there is one, else of the last: INT8 is slower than FP16 on some GPUs. Nodes that the
    builder has no implementation for are kept in FP32. An engine that runs here is judged, and one whose depth is wrong
    is built in other ways; the trials given back are with what came of both.
    model: the FP32 graph with its stages. batch: the fewest, usual and most frames at once.
    Raises MachineError when a named engine cannot be built here.
    """
    flavour = flavour_of(choice)
    if flavour is None:
        return EngineResult(None, tuple(trials))
    chosen = next((trial for trial in trials if trial.precision == "fp16"), trials[-1])
    name = f"{flavour} {version_of(flavour)}"

    def attempt(way: str, options: BuildOptions, islands: tuple[Island, ...]) -> Attempt:
        """Build the chosen graph with these islands, and judge it where it runs here."""
        with step(f"engine: {chosen.precision}, {way}") as advance:
            graph, islands, engine = _buildable(
                chosen, islands, model, name, lambda graph: build_engine(graph, flavour, options, advance=advance)
            )
            breaches = judged_here(engine, graph, flavour, options, chosen, islands, evidence)
            return Attempt(options, islands, engine, breaches)

    first = attempt(name, BuildOptions(batch=batch), chosen.kept_fp32)
    found, tried = cured(first, attempt, model, chosen, name) if first.breaches else (first, ())
    needed = (found or first).islands
    built = chosen
    if needed != chosen.kept_fp32 and chosen.lowering is not None:
        with step(f"{chosen.precision}: certificate with what {name} needs") as advance:
            built = chosen.lowering(needed, evidence, advance)
    in_use = tuple(built if trial is chosen else trial for trial in trials)
    if found is None:
        fault = known_fault(flavour, version_of(flavour))
        return EngineResult(None, in_use, (*tried, *([f"{name} {fault.fault}; {fault.remedy}"] if fault else [])))
    engine = BuiltEngine(flavour, version_of(flavour), chosen.precision, found.engine, found.breaches is not None)
    return EngineResult(engine, in_use, tried)


def _buildable(
    trial: Trial, islands: tuple[Island, ...], model: ir.Model, name: str, build: Callable[[bytes], bytes]
) -> tuple[bytes, tuple[Island, ...], bytes]:
    """A graph, what it keeps in FP32, and its engine: with each node that the builder refuses kept as well."""
    graph = trial.graph if islands == trial.kept_fp32 or trial.lowering is None else trial.lowering.graph(islands)
    while True:
        try:
            return graph, islands, build(graph)
        except RefusedError as refused:  # noqa: PERF203  seconds a turn
            nodes = _nodes_in(model, refused.regions) - names_in(islands)
            if trial.lowering is None or not nodes:
                raise
            in_order = tuple(node.name for node in model.graph if node.name in nodes)
            islands = (*islands, Island(in_order, REFUSED.format(name), None))
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
