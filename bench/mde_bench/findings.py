"""The findings of a run so far, and the result that they make."""

import time
from dataclasses import dataclass, field
from datetime import datetime, timezone

import numpy as np
import numpy.typing as npt

import mde_runtime
from mde_bench.accuracy.anatomy import Anatomy, anatomy
from mde_bench.accuracy.judge import accuracy_of
from mde_bench.machine.conditions import Moment, conditions, moment
from mde_bench.machine.peaks import Peaks
from mde_bench.machine.roofline import Physics, Spent, physics
from mde_bench.plan import Plan
from mde_bench.result.result import SCHEMA, FrameError, Result, Row, Speed
from mde_bench.timing.candidates import Candidate, Opened
from mde_bench.timing.interleave import Window
from mde_bench.timing.modes.figures import ModeFigures
from mde_bench.timing.on_gpu import OnGpu
from mde_bench.timing.statistics import latency, percentile, ratio
from mde_runtime import metrics, parity
from mde_runtime.parity import Limits, Parity
from mde_runtime.protocols.figures import Figures

SEED = 0  # of the bootstrap: the same samples give the same intervals


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a candidate made of the scene's frames."""

    depth_m: npt.NDArray[np.float32]  # (N, H, W)
    num_nonfinite: int


@dataclass(frozen=True)
class Judgement:
    """How faithful and how right a candidate's predictions are. parity None: it is the reference, or that failed."""

    parity: Parity | None
    accuracy: Figures
    anatomy: Anatomy
    frames: tuple[FrameError, ...]


def judge(predictions: Predictions, reference: Predictions | None, plan: Plan) -> Judgement:
    """Hold predictions against the reference's and against the truth."""
    scene, from_network = plan.scene, plan.judged.contract.from_network
    compared = None
    if reference:
        compared = parity.measure(
            predictions.depth_m, reference.depth_m, predictions.num_nonfinite, plan.judged.contract
        )
    truth_m = scene.truth_within(from_network)
    frames = tuple(
        FrameError(
            name=name,
            truth_rmse_m=metrics.rmse(predictions.depth_m[i], truth_m[i], scene.valid[i]),
            reference_rmse_m=metrics.rmse(predictions.depth_m[i], reference.depth_m[i]) if reference else 0.0,
        )
        for i, name in enumerate(scene.names)
    )
    return Judgement(
        parity=compared,
        accuracy=accuracy_of(predictions.depth_m, scene.truth_m, plan.protocol, from_network.span_m),
        anatomy=anatomy(predictions.depth_m, truth_m, scene.valid, from_network.near_m, from_network.far_m),
        frames=frames,
    )


@dataclass
class Findings:
    """Grows while a run goes on; everything is by the candidate's name."""

    opened: dict[str, Opened] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    predictions: dict[str, Predictions] = field(default_factory=dict)
    judged: dict[str, Judgement] = field(default_factory=dict)
    window: Window | None = None
    peak_memory_bytes: dict[str, int | None] = field(default_factory=dict)
    on_gpu: dict[str, OnGpu] = field(default_factory=dict)
    modes: dict[str, ModeFigures] = field(default_factory=dict)
    after: Moment | None = None  # when the single stream was measured; None: not yet
    before: Moment = field(default_factory=moment)
    started: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    start_s: float = field(default_factory=time.monotonic)

    def result(self, plan: Plan, *, is_complete: bool) -> Result:
        """The result as far as it is known."""
        under = conditions(plan.num_threads, self.before, self.after or moment())
        invalid = list(self.window.reasons) if self.window else []
        if under.has_throttled:
            invalid.append("the machine throttled (cool it, or measure its sustained speed with --mode sustained)")
        return Result(
            schema=SCHEMA,
            tool=f"mde-bench {mde_runtime.__version__}",
            is_complete=is_complete,
            started=self.started.isoformat(timespec="seconds"),
            seconds=round(time.monotonic() - self.start_s, 1),
            effort=plan.effort.name,
            conditions=under,
            judged=plan.judged,
            rows=self._rows(plan),
            absent=self.absent,
            invalid_because=tuple(invalid),
            num_windows_discarded=self.window.num_discarded if self.window else 0,
        )

    def _rows(self, plan: Plan) -> tuple[Row, ...]:
        present = [candidate for candidate in plan.candidates if candidate.name not in self.absent]
        speeds = {candidate.name: self._speed(candidate, plan) for candidate in present}
        peaks = dict(plan.peaks)
        for candidate in present:
            speed, work = speeds[candidate.name], plan.work.get(candidate.precision)
            known = peaks[candidate.device]
            if speed and work and not isinstance(known, str) and self.opened[candidate.name].arithmetic == "fp32":
                peaks[candidate.device] = known.with_reached(work.num_macs / speed.backend.p50_s)
        return tuple(self._row(it, plan, speeds[it.name], peaks[it.device]) for it in present)

    def _row(self, candidate: Candidate, plan: Plan, speed: Speed | None, peaks: Peaks | str) -> Row:
        judged = self.judged.get(candidate.name)
        compared = judged.parity if judged else None
        limits = Limits.of(candidate.precision, plan.judged.contract.from_network)
        opened = self.opened.get(candidate.name)
        found = self._physics(candidate, plan, speed, peaks)
        checked, unchecked = (None, found) if isinstance(found, str) else (found, None)
        is_impossible = checked is not None and checked.impossible_because is not None
        return Row(
            name=candidate.name,
            backend=candidate.backend,
            precision=candidate.precision,
            executor=opened.executor if opened else None,
            failure=checked.impossible_because if checked and is_impossible else self.failures.get(candidate.name),
            speed=None if is_impossible else speed,
            physics=checked,
            physics_absent_because=unchecked,
            modes=self.modes.get(candidate.name),
            parity=compared,
            parity_breaches=tuple(compared.breaches(limits)) if compared else (),
            accuracy=judged.accuracy if judged else None,
            anatomy=judged.anatomy if judged else None,
            frames=judged.frames if judged else (),
        )

    def _physics(
        self, candidate: Candidate, plan: Plan, speed: Speed | None, peaks: Peaks | str
    ) -> Physics | str | None:
        """What a figure means for the hardware, or why that cannot be said; None where there is no figure."""
        work = plan.work.get(candidate.precision)
        if speed is None:
            return None
        if isinstance(peaks, str):
            return peaks
        if work is None:
            return "the multiply-adds of its graph cannot be counted without onnx"
        times = speed.device.times if speed.device else None
        spent = Spent(
            backend_s=speed.backend.p50_s,
            host_s=speed.host.p50_s,
            fastest_s=speed.end_to_end.min_s,
            compute_s=times.compute_s if times else None,
            copies_s=times.copies_s if times else None,
        )
        return physics(work, peaks, self.opened[candidate.name].arithmetic, spent)

    def _speed(self, candidate: Candidate, plan: Plan) -> Speed | None:
        samples = self.window.samples.get(candidate.name) if self.window else None
        died_right_after = candidate.name not in self.peak_memory_bytes
        if self.window is None or samples is None or died_right_after:
            return None
        rng = np.random.default_rng(SEED)
        reference = self.window.samples.get(plan.candidates[0].name)
        is_reference = candidate == plan.candidates[0]
        return Speed(
            end_to_end=latency(samples.wall_ns, samples.round, rng),
            backend=latency(samples.backend_ns, samples.round, rng),
            host=latency(samples.host_ns, samples.round, rng),
            cpu_s=percentile(samples.cpu_ns, 0.5) / 1e9,
            preempted_share=samples.preempted_share,
            peak_memory_bytes=self.peak_memory_bytes[candidate.name],
            device=self.on_gpu.get(candidate.name),
            ratio=None
            if reference is None or is_reference
            else ratio((samples.wall_ns, samples.round), (reference.wall_ns, reference.round), rng),
            samples=samples,
        )
