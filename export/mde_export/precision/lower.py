"""From the FP32 graph to an FP16 or INT8 graph that passes: rules first, then, where it misses a limit, a search."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from mde_export.graph.canonical import from_bytes, to_bytes
from mde_export.graph.stages import is_stage
from mde_export.judge.certify import Trial, attempt
from mde_export.judge.evidence import Evidence, ManyFrames
from mde_export.judge.execute import Executor
from mde_export.precision.clipping import METHODS, histograms
from mde_export.precision.emulate import emulated, fused
from mde_export.precision.half import HALF, half_from_float
from mde_export.precision.int8 import activations_of, quantized
from mde_export.precision.islands import is_weighted, kept_by_rule, names_in, unquantizable
from mde_export.precision.local_errors import Block, local_errors
from mde_export.precision.probes import probing_frames
from mde_export.precision.ranges import beyond_half, ranges
from mde_export.precision.repair import repaired, worst_frames
from mde_export.precision.targets import kept_for
from mde_export.request.choices import Accumulation
from mde_export.steps import Step
from mde_runtime.certificate import Island
from mde_runtime.errors import VerdictError
from mde_runtime.evenly_spaced import evenly_spaced
from mde_runtime.onnx_graph.unsigned import with_unsigned_activations
from mde_runtime.parity import AIM, Limits, measure

NUM_FORMS = 2  # of an INT8 graph: symmetric, and with the unsigned activations that CPUs run
NUM_FUSED_FRAMES = 4  # the worst, besides NUM_FIRST_FRAMES: an FP16 graph is run on them with its weights alone rounded
NOTHING_QUANTIZED = "no layer is left to quantise"
NUM_FRAMES_IN_HALF = 2  # the worst, on which sums in half are stated: a frame takes 13 times as long as with others
NUM_FIRST_FRAMES = 8  # that an FP16 graph and each INT8 method run on first: what fails there needs no more frames
NOTHING_HALF = "every node stays FP32 in its FP16 graph"


def lowered_to_fp16(
    model: ir.Model,
    evidence: Evidence,
    step: Step,
    target: str | None = None,
    accumulation: Accumulation = "float",
) -> Trial:
    """The FP16 graph of `model`, run on the evidence; its `breaches` are empty unless no search could help.

    `model` has its stages, and its types inferred. accumulation: half, where it must pass with sums in half as well.
    """
    lowering = Half(model, accumulation)
    islands = (*kept_by_rule(model), *kept_for(model, target))
    with step("FP16: range of the values"):
        islands += beyond_half(model, ranges(model, probing_frames(evidence)))
    num_runs = 2 if accumulation == "half" else 1
    few = evidence.spaced(NUM_FIRST_FRAMES)
    with step("FP16: emulation", num_runs * (len(few.depth_m) + len(evidence.depth_m))) as advance:
        trial = lowering(islands, few, advance)
        if not is_hopeless(trial, evidence):
            trial = lowering(islands, evidence, advance)
    if trial.beyond_aim:
        with step("FP16: search for what to keep in FP32"):
            trial = repaired(lowering, model, trial, evidence)
    if not is_half_anywhere(trial.graph):
        raise VerdictError(f"fp16: {NOTHING_HALF} ({_kept(trial.kept_fp32)}); export without --fp16")
    return trial


def is_hopeless(trial: Trial, evidence: Evidence) -> bool:
    """Whether a trial on some frames has one so wrong that the trial on all frames is beyond 80 % of the limit."""
    return trial.error_m > AIM * Limits.of(trial.precision, evidence.contract.from_network).rmse_worst_m


def is_half_anywhere(graph: bytes) -> bool:
    """Whether any node but a Cast gives half."""
    return any(
        value.dtype == HALF for node in from_bytes(graph).graph if node.op_type != "Cast" for value in node.outputs
    )


def _kept(islands: tuple[Island, ...]) -> str:
    return "; ".join(f"{', '.join(island.nodes[:3])}: {island.reason}" for island in islands)


def with_half_sums(trial: Trial, evidence: Evidence, step: Step) -> Trial:
    """An FP16 trial with its figure for sums of products in half: stated, on its worst frames, unless it was judged."""
    if trial.precision != "fp16" or trial.half_accumulation is not None:
        return trial
    few = evidence.subset(worst_frames(trial, evidence, NUM_FRAMES_IN_HALF))
    with step("FP16: emulation with sums in half", len(few.depth_m)) as advance:
        stand_in = to_bytes(emulated(from_bytes(trial.graph), "half"))
        maps_m, num_nonfinite = Executor(stand_in, literal=True).depth(few.pictures.frames, advance)
    depth_m = maps_m[:]
    depth_m[~np.isfinite(depth_m)] = 0  # so that every figure is a number and can be stated; the count says the rest
    return replace(trial, half_accumulation=measure(depth_m, few.depth_m, num_nonfinite, evidence.contract))


def lowered_to_int8(model: ir.Model, evidence: Evidence, step: Step) -> Trial:
    """The INT8 graph of `model`, by the better of the calibration methods; see `lowered_to_fp16`."""
    islands = (*kept_by_rule(model), *unquantizable(model))
    names = activations_of(model, names_in(islands))
    if not names:
        raise VerdictError(f"int8: {NOTHING_QUANTIZED} ({_reasons(model, islands)}); export without --int8")
    with step("INT8: calibration", 2 * len(evidence.depth_m)) as advance:
        seen = histograms(model, names, evidence.pictures.frames, advance)
    ways = [
        Int8(model, {name: largest_of(seen[name]) for name in names}, method) for method, largest_of in METHODS.items()
    ]
    few = evidence.spaced(NUM_FIRST_FRAMES)
    with step("INT8: calibration methods", NUM_FORMS * len(ways) * len(few.depth_m)) as advance:
        firsts = {way: way(islands, few, advance) for way in ways}
    best = min(ways, key=lambda way: firsts[way].error_m)
    trial = firsts[best]
    if not is_hopeless(trial, evidence):
        with step(f"INT8: literal graphs, {best.method}", NUM_FORMS * len(evidence.depth_m)) as advance:
            trial = best(islands, evidence, advance)
    if not trial.beyond_aim:
        return trial
    with step("INT8: search for what to keep in FP32"):
        found = repaired(best, model, trial, evidence)
    return found if activations_of(model, names_in(found.kept_fp32)) else best(islands, evidence)


def _reasons(model: ir.Model, islands: tuple[Island, ...]) -> str:
    """Why each layer with weights stays FP32."""
    layers = {node.name for node in model.graph if is_weighted(node) and not is_stage(node.name)}
    found = [f"{', '.join(names)}: {island.reason}" for island in islands if (names := _of(layers, island.nodes))]
    return "; ".join(found) or "it has no layer with weights"


def _of(layers: Collection[str | None], nodes: Sequence[str]) -> list[str]:
    return [name for name in nodes if name in layers]


@dataclass(frozen=True, eq=False)
class Half:
    """FP16: convert, emulate, judge."""

    model: ir.Model
    accumulation: Accumulation = "float"  # half: judged with sums in half as well

    def graph(self, islands: tuple[Island, ...]) -> bytes:
        """The FP16 graph with the nodes of the islands in FP32."""
        return to_bytes(half_from_float(self.model, names_in(islands)))

    def local_errors(
        self, islands: tuple[Island, ...], blocks: Sequence[Block], frames: ManyFrames
    ) -> dict[Block, float]:
        """What each block adds to the error by itself."""

        def lower(model: ir.Model, _: Mapping[str, str]) -> ir.Model:
            half = to_bytes(half_from_float(model, names_in(islands)))
            return emulated(from_bytes(half), self.accumulation)

        return local_errors(self.model, blocks, lower, frames)

    def __call__(
        self, islands: tuple[Island, ...], evidence: Evidence, advance: Callable[[], None] = lambda: None
    ) -> Trial:
        """The FP16 graph, judged by its emulation."""
        graph = self.graph(islands)

        def emulate(accumulation: Accumulation) -> Trial:
            stand_in = to_bytes(emulated(from_bytes(graph), accumulation))
            return attempt("fp16", graph, evidence, stand_in=stand_in, kept_fp32=islands, advance=advance)

        trial = self._fused(emulate("float"), evidence)
        if self.accumulation == "float":
            return trial.made_by(self)
        in_half = emulate("half")
        judged = trial.judged_with(in_half, "with sums in half")
        return replace(judged, half_accumulation=in_half.parity).made_by(self, "sums in half are judged as well")

    def _fused(self, trial: Trial, evidence: Evidence) -> Trial:
        """The trial that passes only where its graph does with fewer roundings: on its worst frames and some others."""
        num_frames = len(evidence.depth_m)
        chosen = {*worst_frames(trial, evidence, NUM_FUSED_FRAMES), *evenly_spaced(num_frames, NUM_FIRST_FRAMES)}
        few = evidence.subset(sorted(chosen))
        other = attempt("fp16", trial.graph, few, stand_in=to_bytes(fused(from_bytes(trial.graph))))
        judged = trial.judged_with(other, "with nothing but the weights rounded, as in fused kernels")
        return replace(judged, depth_m=trial.depth_m, fused=other.parity)


@dataclass(frozen=True, eq=False)
class Int8:
    """INT8 at one calibration: quantise, run, judge."""

    model: ir.Model
    largest: dict[str, float]  # of each activation, by the method
    method: str

    def graph(self, islands: tuple[Island, ...]) -> bytes:
        """The INT8 graph with the nodes of the islands in FP32."""
        return to_bytes(quantized(self.model, self.largest, names_in(islands)))

    def local_errors(
        self, islands: tuple[Island, ...], blocks: Sequence[Block], frames: ManyFrames
    ) -> dict[Block, float]:
        """What each block adds to the error by itself, in the symmetric form."""

        def lower(model: ir.Model, entries: Mapping[str, str]) -> ir.Model:
            of_entries = {entry: self.largest[name] for entry, name in entries.items() if name in self.largest}
            return quantized(model, self.largest | of_entries, names_in(islands))

        return local_errors(self.model, blocks, lower, frames)

    def __call__(
        self, islands: tuple[Island, ...], evidence: Evidence, advance: Callable[[], None] = lambda: None
    ) -> Trial:
        """The very graph and the form that CPUs run, with every Q and DQ carried out.

        Fast CPU kernels saturate, so they do not judge.
        """
        graph = self.graph(islands)
        trial = attempt("int8", graph, evidence, stand_in=graph, kept_fp32=islands, advance=advance)
        unsigned = with_unsigned_activations(graph)
        if unsigned == graph:
            trial = replace(trial, unsigned=trial.parity)
        else:
            on_cpus = attempt("int8", graph, evidence, stand_in=unsigned, kept_fp32=islands, advance=advance)
            trial = replace(
                trial.judged_with(on_cpus, "with unsigned activations, as on CPUs"), unsigned=on_cpus.parity
            )
        return trial.made_by(self, f"calibrated by {self.method} on all frames")
