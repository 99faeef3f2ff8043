"""Repair of a precision that misses its limits: the fewest blocks in FP32 that a measured search finds."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import onnx_ir as ir

from mde_export.graph.stages import is_stage
from mde_export.judge.certify import Lowering, Trial
from mde_export.judge.evidence import Evidence
from mde_export.precision.islands import MEASURED, is_weighted, names_in
from mde_runtime.certificate import Island
from mde_runtime.parity import AIM, Limits

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
    """The trial with the fewest further nodes in FP32 that keeps to 80 % of its limits, else to the limits.

    The failed one where nothing helps, or where nothing keeps to 80 % and it passes by itself.
    model: the FP32 graph with its stages.
    """
    worst = worst_frames(failed, evidence)
    limits = Limits.of(failed.precision, evidence.contract.from_network)

    def islands(kept: Sequence[Block]) -> tuple[Island, ...]:
        return (*failed.kept_fp32, *(Island(block, MEASURED, None) for block in kept))

    @cache
    def error_of(kept: frozenset[Block]) -> float:
        return attempt(islands(sorted(kept)), worst).error_m

    @cache
    def share_of(kept: frozenset[Block]) -> float:
        """The share of its limits that a trial on all frames keeps to, of those that are asked for."""
        trial = attempt(islands(sorted(kept)), evidence)
        return float("inf") if trial.breaches else 1.0 if trial.beyond_aim else AIM

    def searched(share: float) -> tuple[Block, ...] | None:
        def passes(kept: Sequence[Block]) -> bool:
            names = frozenset(kept)
            return error_of(names) <= share * limits.rmse_worst_m and share_of(names) <= share

        return fewest_kept(blocks, lambda kept: error_of(frozenset(kept)), passes)

    blocks = blocks_of(model, names_in(failed.kept_fp32))
    kept = searched(AIM)
    if kept is None and failed.breaches:
        kept = searched(1.0)
    if kept is None:
        return failed
    costs = [error_of(frozenset(other for other in kept if other is not block)) for block in kept]
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
