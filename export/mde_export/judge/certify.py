"""The certificate: a graph's depth measured against the original model's, on every frame, and judged.

Nothing is ever compared with the previous step, so no error can hide behind another.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from mde_export.graph.stages import DEPTH, FRAME
from mde_export.judge.evidence import Evidence, ManyFrames, ManyMaps
from mde_export.judge.execute import Executor
from mde_runtime import files, parity
from mde_runtime.certificate import SCHEMA, Certificate, Island
from mde_runtime.errors import VerdictError
from mde_runtime.parity import AIM, Limits, Parity
from mde_runtime.precision import Precision

MAX_INT8_LOSS = 0.01  # of accuracy: INT8's own limits are wide, so where the truth is known it is judged by that, too
BATCH_TOLERANCE_T = 0.1  # kernels for one and for many frames add up in another order; they do not change metres


class Lowering(Protocol):
    """A way to make a graph of a lower precision, with named nodes in FP32, and to judge it."""

    def graph(self, islands: tuple[Island, ...], /) -> bytes:
        """The graph. islands: what stays FP32."""
        ...

    def local_errors(
        self, islands: tuple[Island, ...], blocks: Sequence[tuple[str, ...]], frames: ManyFrames, /
    ) -> dict[tuple[str, ...], float]:
        """What each block of nodes adds to the error by itself, where the islands stay FP32."""
        ...

    def __call__(
        self, islands: tuple[Island, ...], evidence: Evidence, advance: Callable[[], None] = ..., /
    ) -> "Trial":
        """The graph, run on the evidence and judged."""
        ...


@dataclass(frozen=True, eq=False)
class Trial:
    """A graph that was run on the evidence, and what came of it."""

    precision: Precision
    graph: bytes  # what would be shipped
    executor: str  # what ran it, or its emulation, in words
    depth_m: ManyMaps
    parity: Parity
    breaches: tuple[str, ...]  # of the precision's limits; empty: it passes
    beyond_aim: tuple[str, ...]  # the same of 80 % of the limits, at which a search stops
    kept_fp32: tuple[Island, ...]
    truth_rmse_m: tuple[float, float] | None  # to the true depth, of the reference and of this graph, where known
    unsigned: Parity | None = None  # INT8: of the form that CPUs run
    half_accumulation: Parity | None = None  # FP16: with sums in half
    fused: Parity | None = None  # FP16: with nothing but the weights rounded, on a few frames
    lowering: Lowering | None = None  # makes it anew with other nodes in FP32; None: it is FP32

    def made_by(self, lowering: Lowering, words: str = "") -> "Trial":
        """The trial with what made its graph, and with more said about it."""
        executor = "; ".join(filter(None, (self.executor, words)))
        return replace(self, executor=executor, lowering=lowering)

    def judged_with(self, other: "Trial", name: str) -> "Trial":
        """The trial that passes only where another form of its graph does; `name`: that form's, in words.

        `depth_m` is that of the form with the larger error.
        """
        return replace(
            self,
            breaches=(*self.breaches, *(f"{name}: {line}" for line in other.breaches)),
            beyond_aim=(*self.beyond_aim, *(f"{name}: {line}" for line in other.beyond_aim)),
            depth_m=max(self, other, key=lambda trial: trial.error_m).depth_m,
        )

    @property
    def error_m(self) -> float:
        """RMSE of the worst frame, of all forms that are judged; inf where a value is not finite."""
        forms = [self.parity, *filter(None, (self.unsigned, self.half_accumulation, self.fused))]
        return max(float("inf") if form.num_nonfinite else form.rmse_worst_m for form in forms)


def attempt(
    precision: Precision,
    graph: bytes,
    evidence: Evidence,
    *,
    stand_in: bytes | None = None,
    kept_fp32: tuple[Island, ...] = (),
    advance: Callable[[], None] = lambda: None,
) -> Trial:
    """Run a graph on the evidence and judge it. stand_in: the graph that is run in its place, literally."""
    executor = Executor(stand_in or graph, literal=stand_in is not None)
    depth_m, num_nonfinite = executor.depth(evidence.pictures.frames, advance)
    measured = parity.measure(depth_m, evidence.depth_m, num_nonfinite, evidence.contract)
    truth_rmse_m = _truth_rmse_m(depth_m, evidence)
    limits = Limits.of(precision, evidence.contract.from_network)
    return Trial(
        precision=precision,
        graph=graph,
        executor=executor.in_words,
        depth_m=depth_m,
        parity=measured,
        breaches=_breaches(precision, measured, limits, truth_rmse_m, 1.0),
        beyond_aim=_breaches(precision, measured, limits, truth_rmse_m, AIM),
        kept_fp32=kept_fp32,
        truth_rmse_m=truth_rmse_m,
    )


def _breaches(
    precision: Precision, measured: Parity, limits: Limits, truth_rmse_m: tuple[float, float] | None, share: float
) -> tuple[str, ...]:
    """The figures beyond this share of the limits, one line each."""
    found = measured.breaches(limits.at_share(share))
    if precision == "int8" and truth_rmse_m is not None:
        reference_m, graph_m = truth_rmse_m
        loss = share * MAX_INT8_LOSS
        if graph_m > reference_m * (1 + loss):
            found.append(
                f"RMSE to the true depth is {graph_m:.4f} m, the reference's {reference_m:.4f} m: over {loss:.1%} more"
            )
    return tuple(found)


def check_batch(trial: Trial, evidence: Evidence, most_at_once: int) -> None:
    """Raises VerdictError unless frames that go through the graph together come out as they do one by one."""
    executor = Executor(trial.graph, literal=False)
    frames = evidence.pictures.frames[[index % len(evidence.pictures.frames) for index in range(most_at_once)]]
    together = executor.run({FRAME: frames})[DEPTH]
    alone, _ = executor.depth(frames)
    worst_m = max(float(np.abs(one - other).max()) for one, other in zip(together, alone, strict=True))
    if not worst_m <= BATCH_TOLERANCE_T * parity.tolerance(evidence.contract.from_network):
        raise VerdictError(
            f"{trial.precision}: of {most_at_once} frames at once one differs by {worst_m:.3g} m from the same frame "
            "alone; frames in a batch affect each other in this network: export it without --batch. No bundle was "
            "written"
        )


def certificate_of(trial: Trial, evidence: Evidence, derived_from: Parity | None) -> Certificate:
    """The certificate of a trial that passed."""
    assert not trial.breaches
    return Certificate(
        schema=SCHEMA,
        precision=trial.precision,
        graph_sha256=files.sha256_of(trial.graph),
        reference=evidence.reference,
        executor=trial.executor,
        frames_source=evidence.pictures.in_words,
        frames_sha256=_sha256_of(evidence.pictures.frames),
        limits=Limits.of(trial.precision, evidence.contract.from_network),
        parity=trial.parity,
        unsigned=trial.unsigned,
        half_accumulation=trial.half_accumulation,
        kept_fp32=trial.kept_fp32,
        derived_from=derived_from,
        truth_rmse_m=trial.truth_rmse_m,
    )


def _sha256_of(frames: ManyFrames) -> str:
    digest = hashlib.sha256()
    for frame in frames:
        digest.update(np.ascontiguousarray(frame).data)
    return digest.hexdigest()


def _truth_rmse_m(depth_m: ManyMaps, evidence: Evidence) -> tuple[float, float] | None:
    """RMSE to the true depth, clipped to the contract's range, of the reference and of the graph; None: not known.

    Where the network sees alone: outside both give 0, and that error would hide any between them.
    """
    if evidence.pictures.truth_m is None:
        return None
    from_network, seen = evidence.contract.from_network, evidence.contract.seen
    sums_m2, num_pixels = np.zeros(2), 0
    for truth_m, *maps_m in zip(evidence.pictures.truth_m, evidence.depth_m, depth_m, strict=True):
        truth_m = truth_m[seen]
        valid = truth_m > 0
        clipped_m = np.clip(truth_m[valid], from_network.near_m, from_network.far_m).astype(np.float64)
        sums_m2 += [np.square(map_m[seen][valid] - clipped_m).sum() for map_m in maps_m]
        num_pixels += clipped_m.size
    if not num_pixels:
        return None
    reference_m, graph_m = np.sqrt(sums_m2 / num_pixels)
    return float(reference_m), float(graph_m)
