"""What a run has found so far, and the result that it makes."""

import time
from dataclasses import dataclass, field
from datetime import datetime, timezone

import numpy as np
import numpy.typing as npt

import mde_runtime
from mde_bench.accuracy import accuracy_of
from mde_bench.candidates import Candidate
from mde_bench.conditions import Moment, conditions, moment
from mde_bench.interleave import Window
from mde_bench.plan import Plan
from mde_bench.result import SCHEMA, FrameError, Result, Row, Speed
from mde_bench.statistics import latency, percentile, ratio
from mde_runtime import metrics, parity
from mde_runtime.parity import Limits, Parity

SEED = 0  # of the bootstrap: the same samples give the same intervals


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a candidate made of the scene's frames."""

    depth_m: npt.NDArray[np.float32]  # (N, H, W)
    num_nonfinite: int


@dataclass
class Findings:
    """Grows while a run goes on; everything is by the candidate's name."""

    executors: dict[str, str] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    predictions: dict[str, Predictions] = field(default_factory=dict)
    window: Window | None = None
    peak_memory_bytes: dict[str, int] = field(default_factory=dict)
    before: Moment = field(default_factory=moment)
    started: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    start_s: float = field(default_factory=time.monotonic)

    def result(self, plan: Plan, *, is_complete: bool) -> Result:
        """The result as far as it is known."""
        under = conditions(plan.num_threads, self.before)
        invalid = [f"{name}: {problem}" for name, problem in self.window.unsettled.items()] if self.window else []
        if under.has_throttled:
            invalid.append("the processor slowed down to stay cool")
        return Result(
            schema=SCHEMA,
            tool=f"mde-bench {mde_runtime.__version__}",
            is_complete=is_complete,
            started=self.started.isoformat(timespec="seconds"),
            seconds=round(time.monotonic() - self.start_s, 1),
            conditions=under,
            judged=plan.judged,
            rows=tuple(
                self._row(candidate, plan) for candidate in plan.candidates if candidate.name not in self.absent
            ),
            absent=self.absent,
            invalid_because=tuple(invalid),
            num_windows_discarded=self.window.num_discarded if self.window else 0,
        )

    def _row(self, candidate: Candidate, plan: Plan) -> Row:
        predictions = self.predictions.get(candidate.name)
        reference = None if candidate == plan.candidates[0] else self.predictions.get(plan.candidates[0].name)
        compared = _parity(predictions, reference, plan) if predictions and reference else None
        limits = Limits.of(candidate.precision, plan.judged.contract.from_network)
        return Row(
            name=candidate.name,
            backend=candidate.backend,
            precision=candidate.precision,
            executor=self.executors.get(candidate.name),
            failure=self.failures.get(candidate.name),
            speed=self._speed(candidate, plan),
            parity=compared,
            parity_breaches=tuple(compared.breaches(limits)) if compared else (),
            accuracy=accuracy_of(predictions.depth_m, plan.scene.truth_m, plan.protocol) if predictions else None,
            frames=_frame_errors(predictions, reference, plan) if predictions else (),
        )

    def _speed(self, candidate: Candidate, plan: Plan) -> Speed | None:
        samples = self.window.samples.get(candidate.name) if self.window else None
        if self.window is None or samples is None:
            return None
        rng = np.random.default_rng(SEED)
        reference = self.window.samples.get(plan.candidates[0].name)
        is_reference = candidate == plan.candidates[0]
        return Speed(
            end_to_end=latency(samples.wall_ns, samples.round, rng),
            backend=latency(samples.backend_ns, samples.round, rng),
            host=latency(samples.host_ns, samples.round, rng),
            cpu_s=percentile(samples.cpu_ns, 0.5) / 1e9,
            preempted_share=float(np.mean(np.asarray(samples.num_preemptions) > 0)),
            peak_memory_bytes=self.peak_memory_bytes[candidate.name],
            ratio=None
            if reference is None or is_reference
            else ratio((samples.wall_ns, samples.round), (reference.wall_ns, reference.round), rng),
            samples=samples,
        )


def _parity(predictions: Predictions, reference: Predictions, plan: Plan) -> Parity:
    from_network = plan.judged.contract.from_network
    data_range_m = from_network.far_m - from_network.near_m
    return parity.measure(predictions.depth_m, reference.depth_m, predictions.num_nonfinite, data_range_m)


def _frame_errors(predictions: Predictions, reference: Predictions | None, plan: Plan) -> tuple[FrameError, ...]:
    scene = plan.scene
    truth_m = scene.truth_within(plan.judged.contract.from_network)
    return tuple(
        FrameError(
            name=name,
            truth_rmse_m=metrics.rmse(predictions.depth_m[i], truth_m[i], scene.valid[i]),
            reference_rmse_m=metrics.rmse(predictions.depth_m[i], reference.depth_m[i]) if reference else 0.0,
        )
        for i, name in enumerate(scene.names)
    )
