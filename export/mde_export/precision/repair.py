"""Repair of a precision that misses its limits: the fewest blocks in FP32 that a measured search finds."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import onnx_ir as ir

from mde_export.graph.stages import is_stage
from mde_export.judge.certify import Lowering, Trial
from mde_export.judge.evidence import Evidence
from mde_export.precision.islands import MEASURED, is_weighted, names_in
from mde_runtime.certificate import Island
from mde_runtime.parity import Limits

Block = tuple[str, ...]  # node names


def fewest_kept(
    blocks: Sequence[Block],
    error_of: Callable[[Sequence[Block]], float],
    passes: Callable[[Sequence[Block]], bool],
) -> tuple[Block, ...] | None:
    """Blocks that make it pass when they are kept; None where keeping all of them does not.

    Blocks are ranked by the error that is left when each is kept alone, and added in that order until it passes. Then
    whole blocks that are not needed go again, and of those that are needed, the half that is not.
    """
    kept: list[Block] = []
    for block in sorted(blocks, key=lambda block: error_of([block])):
        kept.append(block)
        if passes(kept):
            return _thinned(kept, passes)
    return None


def _thinned(kept: list[Block], passes: Callable[[Sequence[Block]], bool]) -> tuple[Block, ...]:
    needed = list(kept)
    for block in kept[:-1]:  # without the last one it did not pass
        rest = [other for other in needed if other is not block]
        if passes(rest):
            needed = rest
    for index, block in enumerate(needed):
        others = [other for other in needed if other is not block]
        needed[index] = _narrowed(block, others, passes)
    return tuple(needed)


def _narrowed(block: Block, others: Sequence[Block], passes: Callable[[Sequence[Block]], bool]) -> Block:
    middle = len(block) // 2
    for half in (block[:middle], block[middle:]) if middle else ():
        if passes([*others, half]):
            return _narrowed(half, others, passes)
    return block


MAX_BLOCKS = 16  # ranked each alone: a run on the worst frames for every one
NUM_WORST_FRAMES = 4  # that the ranking runs on


def repaired(attempt: Lowering, model: ir.Model, failed: Trial, evidence: Evidence) -> Trial:
    """The trial with the fewest further nodes in FP32 that passes, or the failed one where nothing helps.

    model: the FP32 graph with its stages.
    """
    worst = worst_frames(failed, evidence)
    limit_m = Limits.of(failed.precision, evidence.contract.from_network).rmse_worst_m

    def islands(kept: Sequence[Block]) -> tuple[Island, ...]:
        return (*failed.kept_fp32, *(Island(block, MEASURED, None) for block in kept))

    def error_of(kept: Sequence[Block]) -> float:
        parity = attempt(islands(kept), worst).parity
        return float("inf") if parity.num_nonfinite else parity.rmse_worst_m

    def passes(kept: Sequence[Block]) -> bool:
        return error_of(kept) <= limit_m and not attempt(islands(kept), evidence).breaches

    kept = fewest_kept(blocks_of(model, names_in(failed.kept_fp32)), error_of, passes)
    if kept is None:
        return failed
    costs = [error_of([other for other in kept if other is not block]) for block in kept]
    measured = tuple(
        replace(island, rmse_worst_without_m=cost if np.isfinite(cost) else None)
        for island, cost in zip(islands(kept)[len(failed.kept_fp32) :], costs, strict=True)
    )
    return attempt((*failed.kept_fp32, *measured), evidence)


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
