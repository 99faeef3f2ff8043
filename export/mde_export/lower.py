"""From the FP32 graph to the FP16 graph that passes: rules first, then, where it misses a limit, a measured search."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import onnx_ir as ir

from mde_export.canonical import from_bytes, to_bytes
from mde_export.certify import Trial, attempt
from mde_export.emulate import emulated
from mde_export.evidence import Evidence
from mde_export.half import half_from_float
from mde_export.kept import is_weighted, kept_by_rule, names_in
from mde_export.ranges import beyond_half, largest_magnitudes
from mde_export.search import Block, fewest_kept
from mde_export.stages import is_stage
from mde_export.steps import Step
from mde_runtime.certificate import Island
from mde_runtime.contract import FromNetwork
from mde_runtime.parity import Limits

MAX_BLOCKS = 16  # ranked each alone: a run of the emulation on the worst frames for every one
NUM_WORST_FRAMES = 4  # that the ranking runs on
NUM_RANGE_FRAMES = 8


def lowered(model: ir.Model, evidence: Evidence, wanted: FromNetwork, step: Step) -> Trial:
    """The FP16 graph of `model`, run on the evidence; its `breaches` are empty unless no search could help.

    `model` has its stages, and its types inferred.
    """
    islands = kept_by_rule(model)
    with step("FP16: range of the values"):
        spread = np.unique(np.linspace(0, len(evidence.depth_m) - 1, NUM_RANGE_FRAMES).astype(int))
        islands += beyond_half(model, largest_magnitudes(model, evidence.pictures.frames[spread]))
    with step("FP16: emulation", len(evidence.depth_m)) as moved_on:
        trial = attempt_half(model, islands, evidence, wanted, moved_on)
    if not trial.breaches:
        return trial
    with step("FP16: search for what to keep in FP32"):
        return _repaired(model, trial, evidence, wanted)


def attempt_half(
    model: ir.Model,
    islands: tuple[Island, ...],
    evidence: Evidence,
    wanted: FromNetwork,
    moved_on: Callable[[], None] = lambda: None,
) -> Trial:
    """Convert, emulate, judge."""
    graph = to_bytes(half_from_float(model, names_in(islands)))
    stand_in = to_bytes(emulated(from_bytes(graph)))
    return attempt("fp16", graph, evidence, wanted, stand_in=stand_in, kept_fp32=islands, moved_on=moved_on)


def blocks_of(model: ir.Model, kept: frozenset[str]) -> list[Block]:
    """The nodes that could still be kept, in order, cut before layers with weights, in MAX_BLOCKS pieces or fewer."""
    layers: list[list[str]] = [[]]
    for node in model.graph:
        if node.name is None or node.name in kept or is_stage(node.name):
            continue
        if is_weighted(node):
            layers.append([])
        layers[-1].append(node.name)
    layers = [layer for layer in layers if layer]
    pieces = np.array_split(np.arange(len(layers)), max(1, min(MAX_BLOCKS, len(layers))))
    return [tuple(name for index in piece for name in layers[index]) for piece in pieces]


def worst_frames(trial: Trial, evidence: Evidence) -> Evidence:
    """The evidence of the frames on which the trial was worst."""
    error = np.square(trial.depth_m - evidence.depth_m).mean(axis=(1, 2))
    return evidence.subset(np.sort(np.argsort(np.nan_to_num(error, nan=np.inf))[-NUM_WORST_FRAMES:]).tolist())


def _repaired(model: ir.Model, failed: Trial, evidence: Evidence, wanted: FromNetwork) -> Trial:
    """The trial with the fewest further nodes in FP32 that passes, or the failed one where nothing helps."""
    worst = worst_frames(failed, evidence)
    limit_m = Limits.of("fp16", wanted).rmse_worst_m

    def islands(kept: Sequence[Block]) -> tuple[Island, ...]:
        return (*failed.kept_fp32, *(Island(block, "measured: it misses a limit without", None) for block in kept))

    def error_of(kept: Sequence[Block]) -> float:
        parity = attempt_half(model, islands(kept), worst, wanted).parity
        return float("inf") if parity.num_nonfinite else parity.rmse_worst_m

    def passes(kept: Sequence[Block]) -> bool:
        return error_of(kept) <= limit_m and not attempt_half(model, islands(kept), evidence, wanted).breaches

    kept = fewest_kept(blocks_of(model, names_in(failed.kept_fp32)), error_of, passes)
    if kept is None:
        return failed
    costs = [error_of([other for other in kept if other is not block]) for block in kept]
    measured = tuple(
        replace(island, rmse_worst_without_m=cost if np.isfinite(cost) else None)
        for island, cost in zip(islands(kept)[len(failed.kept_fp32) :], costs, strict=True)
    )
    return attempt_half(model, (*failed.kept_fp32, *measured), evidence, wanted)
