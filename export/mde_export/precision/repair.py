"""Repair of a precision that misses its limits: few layers in FP32, found by their local errors and a measured search.

One pass over the worst frames tells what each layer adds to the error by itself (`local_errors`). The layers that add
most are kept, as many as it takes; then those that are not needed go again, the dearest first, and the rest is trimmed,
down to a single node. Every step is measured on the worst frames, and what is found on all of them.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import onnx_ir as ir

from mde_export.graph.stages import is_stage
from mde_export.graph.work import multiply_adds_of
from mde_export.judge.certify import Lowering, Trial
from mde_export.judge.evidence import Evidence
from mde_export.precision.islands import MEASURED, is_weighted, names_in
from mde_export.precision.local_errors import Block
from mde_runtime.certificate import Island
from mde_runtime.evenly_spaced import evenly_spaced
from mde_runtime.parity import AIM, Limits

NUM_WORST_FRAMES = 4  # that a search runs on
# Runs on the worst frames: as many as help where the network is small, and so many that a search on a large one takes
# half the time of judging it on 64 frames.
FEWEST_RUNS, MOST_RUNS = 8, 80
SMALL = 1.5e9  # multiply-adds of a frame; beyond, the number of runs falls with their square
NUM_FULL_TRIALS = 4  # on all frames: more than one where the worst frames did not show all that is wrong

Passes = Callable[[Sequence[Block]], bool]
ErrorOf = Callable[[Sequence[Block]], float | None]  # None: no run is left to tell
WorkOf = Callable[[Block], int]  # multiply-adds


def repaired(lowering: Lowering, model: ir.Model, failed: Trial, evidence: Evidence) -> Trial:
    """The trial with few further nodes in FP32 that keeps to 80 % of its limits, else to the limits.

    The failed one, on all frames, where nothing helps, or where nothing keeps to 80 % and it passes by itself.
    failed: on all frames of the evidence, or on some. model: the FP32 graph with its stages.
    """
    layers = layers_of(model, names_in(failed.kept_fp32))
    ranked: list[Block] = []
    if layers:
        worst = worst_frames(failed, evidence)
        errors = lowering.local_errors(failed.kept_fp32, layers, evidence.subset(worst).pictures.frames)
        ranked = sorted(layers, key=lambda layer: -errors[layer])
        runs = runs_on(worst, AIM, lowering, model, failed, evidence)
        if runs.num_left == MOST_RUNS:  # a small network
            ranked = by_what_each_saves(ranked, runs.error_m, MOST_RUNS // 2)
        if (found := _searched(ranked, runs)) is not None:
            return found
    if len(failed.depth_m) < len(evidence.depth_m):
        failed = lowering(failed.kept_fp32, evidence)
    if not failed.breaches or not layers:
        return failed
    worst = worst_frames(failed, evidence)
    runs = runs_on(worst, 1.0, lowering, model, failed, evidence)
    return _searched(ranked, runs) or failed


def by_what_each_saves(ranked: Sequence[Block], error_of: ErrorOf, most: int) -> list[Block]:
    """The blocks, the first `most` by the error that is left when each is kept alone, the others after them.

    A local error does not say how much of it reaches the map; a run of each says it, where a run is cheap.
    """
    left = {block: error_m for block in ranked[:most] if (error_m := error_of([block])) is not None}
    return [*sorted(left, key=lambda block: left[block]), *(block for block in ranked if block not in left)]


@dataclass
class Runs:
    """Trials on the worst frames, each set of layers once, as long as there are runs left."""

    lowering: Lowering
    failed: Trial
    evidence: Evidence  # of all frames
    worst: list[int]  # which of them
    share: float  # of the limits
    limit_m: float  # RMSE of the worst frame at that share
    work: Mapping[str, int]  # multiply-adds of each node
    num_left: int
    known: dict[frozenset[Block], float] = field(default_factory=dict)

    def islands(self, kept: Sequence[Block]) -> tuple[Island, ...]:
        """What stays FP32: the rules' islands, and these."""
        return (*self.failed.kept_fp32, *(Island(block, MEASURED, None) for block in kept))

    def error_m(self, kept: Sequence[Block]) -> float | None:
        """The RMSE of the worst frame with these layers in FP32; None where no run is left to tell."""
        names = frozenset(kept)
        if names not in self.known:
            if self.num_left == 0:
                return None
            self.num_left -= 1
            self.known[names] = self.lowering(self.islands(kept), self.evidence.subset(self.worst)).error_m
        return self.known[names]

    def work_of(self, block: Block) -> int:
        """Its multiply-adds."""
        return sum(self.work[name] for name in block)

    def passes(self, kept: Sequence[Block]) -> bool:
        """Whether it keeps to the limit; False where no run is left to tell."""
        error_m = self.error_m(kept)
        return error_m is not None and error_m <= self.limit_m

    def judged(self, kept: Sequence[Block]) -> Trial:
        """The trial on all frames."""
        return self.lowering(self.islands(kept), self.evidence)

    def has_other_frames(self, trial: Trial) -> bool:
        """Whether a trial on all frames has worst ones that no run has seen: they join, and all is to be run again."""
        others = sorted({*worst_frames(trial, self.evidence)} - {*self.worst})
        if others:
            self.worst = sorted([*self.worst, *others])
            self.num_left += len(self.known)
            self.known.clear()
        return bool(others)

    def keeps_to_share(self, trial: Trial) -> bool:
        """Whether a trial on all frames keeps to the share of every limit."""
        return not (trial.beyond_aim if self.share == AIM else trial.breaches)


def runs_on(
    worst: list[int], share: float, lowering: Lowering, model: ir.Model, failed: Trial, evidence: Evidence
) -> Runs:
    """As many runs as the network's size allows, on these frames, to this share of the limits."""
    limit_m = limit_of_worst_m(failed, Limits.of(failed.precision, evidence.contract.from_network).at_share(share))
    return Runs(lowering, failed, evidence, worst, share, limit_m, work_in(model), num_runs_for(model))


def limit_of_worst_m(failed: Trial, limits: Limits) -> float:
    """The RMSE of the worst frame at which its own limit and that of R² hold, metres.

    R² is of all frames and a search runs on the worst. If the error keeps its spread over frames, 1 - R² falls with the
    square of the RMSE:  rmse <= rmse of the failed trial * sqrt((1 - limit) / (1 - its R²)).
    """
    forms = filter(None, (failed.parity, failed.unsigned, failed.half_accumulation, failed.fused))
    by_r2 = [
        form.rmse_worst_m * math.sqrt((1 - limits.r2) / (1 - form.r2))
        for form in forms
        if limits.r2 is not None and form.r2 is not None and form.r2 < 1  # False of NaN, which tells nothing
    ]
    return min([limits.rmse_worst_m, *by_r2])


def _searched(ranked: Sequence[Block], runs: Runs) -> Trial | None:
    kept = fewest_kept(ranked, runs.passes, runs.work_of)
    for attempt in range(NUM_FULL_TRIALS - 1):
        if kept is None:
            return None
        trial = runs.judged(kept)
        if runs.keeps_to_share(trial):
            return _with_costs(trial, kept, runs)
        searches_again = attempt == 0 and runs.has_other_frames(trial)  # once: each search may find other worst frames
        kept = fewest_kept(ranked, runs.passes, runs.work_of) if searches_again else _more(kept, ranked)
    trial = runs.judged(ranked)
    return trial if runs.keeps_to_share(trial) else None


def _more(kept: Sequence[Block], ranked: Sequence[Block]) -> list[Block] | None:
    """Whole layers in place of their parts; else half as many more, of those that add most; None: all are kept."""
    whole = [layer for layer in ranked if any(set(part) <= set(layer) for part in kept)]
    others = [layer for layer in ranked if layer not in whole]
    if set(whole) != set(kept):
        return whole
    return [*whole, *others[: max(1, len(whole) // 2)]] if others else None


def _with_costs(trial: Trial, kept: Sequence[Block], runs: Runs) -> Trial:
    """The trial with what each island gains, as far as runs are left."""
    costs = {block: runs.error_m([other for other in kept if other is not block]) for block in kept}
    measured = tuple(
        replace(island, rmse_worst_without_m=cost if cost is not None and np.isfinite(cost) else None)
        for island, cost in zip(runs.islands(kept)[-len(kept) :], costs.values(), strict=True)
    )
    return replace(trial, kept_fp32=(*runs.failed.kept_fp32, *measured))


def fewest_kept(ranked: Sequence[Block], passes: Passes, work_of: WorkOf) -> list[Block] | None:
    """Few of the blocks that make it pass when they are kept; None where keeping all of them does not.

    ranked: what probably helps most first. As many are taken as it needs; then whole blocks that are not needed go
    again, those with most work first, and of the rest the nodes at both ends that are not.
    """
    kept = _first_that_pass(ranked, passes)
    if kept is None:
        return None
    last = kept[-1]  # without it, it did not pass
    kept = [*_needed(sorted(kept[:-1], key=work_of, reverse=True), [last], passes), last]
    for index in range(len(kept)):
        kept[index] = _trimmed(kept[index], [*kept[:index], *kept[index + 1 :]], passes)
    return kept


def _needed(blocks: Sequence[Block], others: Sequence[Block], passes: Passes) -> list[Block]:
    """The blocks that are needed beside the others; those that come first go first, more at once as long as they go."""
    needed: list[Block] = []
    rest, count = list(blocks), 1
    while rest:
        if passes([*needed, *rest[count:], *others]):
            rest, count = rest[count:], 2 * count
        elif count > 1:
            count //= 2
        else:
            needed.append(rest.pop(0))
    return needed


def _first_that_pass(ranked: Sequence[Block], passes: Passes) -> list[Block] | None:
    """The shortest beginning that passes: 1, 2, 4, ... blocks, then halved between the last two."""
    too_few, enough = 0, 1
    while not passes(ranked[:enough]):
        if enough == len(ranked):
            return None
        too_few, enough = enough, min(2 * enough, len(ranked))
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        too_few, enough = (too_few, middle) if passes(ranked[:middle]) else (middle, enough)
    return list(ranked[:enough])


def _trimmed(block: Block, others: Sequence[Block], passes: Passes) -> Block:
    """The block without what is not needed at its beginning and at its end."""
    begin = _most(len(block), lambda count: passes([*others, block[count:]]))
    end = len(block) - _most(len(block) - begin, lambda count: passes([*others, block[begin : len(block) - count]]))
    return block[begin:end]


def _most(length: int, is_needless: Callable[[int], bool]) -> int:
    """How many nodes are needless at an end, found by halving; at least one of `length` stays."""
    needless, too_many = 0, length
    while too_many - needless > 1:
        middle = (needless + too_many) // 2
        needless, too_many = (middle, too_many) if is_needless(middle) else (needless, middle)
    return needless


def layers_of(model: ir.Model, kept: frozenset[str]) -> list[Block]:
    """The nodes that could still be kept, in order, cut before every layer with weights."""
    layers: list[list[str]] = [[]]
    for node in model.graph:
        if node.name is None or node.name in kept or is_stage(node.name):
            continue
        if is_weighted(node):
            layers.append([])
        layers[-1].append(node.name)
    return [tuple(layer) for layer in layers if layer]


def work_in(model: ir.Model) -> dict[str, int]:
    """The multiply-adds of each node that has a name."""
    return {node.name: multiply_adds_of(node) for node in model.graph if node.name}


def num_runs_for(model: ir.Model) -> int:
    """How many runs a search has: a number of the network, so that the same network gives the same graph anywhere."""
    num_multiply_adds = max(1, sum(map(multiply_adds_of, model.graph)))
    return int(np.clip(MOST_RUNS * (SMALL / num_multiply_adds) ** 2, FEWEST_RUNS, MOST_RUNS))


def worst_frames(trial: Trial, evidence: Evidence, count: int = NUM_WORST_FRAMES) -> list[int]:
    """The frames on which the trial was worst, in order. It ran on all of them, or on some, evenly spaced."""
    ran = evenly_spaced(len(evidence.depth_m), len(trial.depth_m))
    pairs = zip(trial.depth_m, (evidence.depth_m[index] for index in ran), strict=True)
    error = [float(np.square(found - right).mean()) for found, right in pairs]
    return sorted(ran[index] for index in np.argsort(np.nan_to_num(error, nan=np.inf))[-count:])
