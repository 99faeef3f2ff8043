"""A bundle through the estimator, as a robot runs it; the backend's own call is timed inside it."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt

from mde_bench.timing.candidates import Answer, Depth, Frame
from mde_bench.timing.device_times import DeviceTimes, DriverEvents, device_times
from mde_runtime import verify
from mde_runtime.backends import Arrays, DeviceSession, Session, frames_a_run, open_session
from mde_runtime.bundle import Bundle, read_bundle
from mde_runtime.camera.calibration import read_calibration
from mde_runtime.camera.scale import gain_for
from mde_runtime.choice import Choice, choose
from mde_runtime.contract import Contract, SourceFrame
from mde_runtime.cuda import open_cuda
from mde_runtime.estimator import DepthEstimator
from mde_runtime.precision import Precision


def open_subject(bundle: str, backend: str, precision: Precision, num_threads: int) -> "Estimator":
    """Open one precision of a bundle on one backend, verified or not: the bench says how far off it is.

    The first time on a machine it is verified there. Raises MachineError where this machine cannot.
    """
    read = read_bundle(Path(bundle))
    session = open_session(backend, read.graph(precision), num_threads=num_threads)
    known = verify.recorded(read, precision, session)
    verification = known or verify.verify(read, backend, precision, session)
    return _estimator(
        read,
        session,
        Choice.asked_for(backend, precision, verification, is_newly_verified=known is None),
    )


def open_chosen(
    bundle: Path, backend: str, precision: str, calibration: Path | None = None, focal_px: float | None = None
) -> "Estimator":
    """Open a bundle as `DepthEstimator.open` does, where backend and precision may be left to it by `auto`."""
    read = read_bundle(bundle)
    known = None if calibration is None else read_calibration(calibration, read)
    gain = gain_for(read, known, focal_px)
    return _estimator(read, *choose(read, backend, precision, None), gain=gain)


def _estimator(bundle: Bundle, session: Session, choice: Choice, gain: float = 1.0) -> "Estimator":
    timed = TimedSession(session)
    scaled = "" if gain == 1 else f", depth x {gain:.4g}"
    executor = f"{choice.verification.in_words}, {session.executor}{scaled}"
    estimate = DepthEstimator(timed, bundle.contract, choice, gain=gain)
    return Estimator(estimate, timed, executor, session.arithmetic[choice.precision])


class TimedSession:
    """A session with a clock around its run, which costs a tenth of a microsecond."""

    def __init__(self, session: Session):
        self._session = session
        self.executor, self.device, self.arithmetic = session.executor, session.device, session.arithmetic
        self.max_batch: int | None = frames_a_run(session)  # as many as run without the clock
        self.backend_ns = 0
        self.outputs: Arrays = {}

    def run(self, feeds: Mapping[str, npt.NDArray[Any]], out: Mapping[str, npt.NDArray[Any]] | None = None) -> Arrays:
        """The session's own answer; how long it took stands in `backend_ns` afterwards."""
        start = time.perf_counter_ns()
        self.outputs = self._session.run(feeds, out)
        self.backend_ns = time.perf_counter_ns() - start
        return self.outputs

    def device_times(self, source: SourceFrame, num_calls: int) -> DeviceTimes | None:
        """Of the session's calls on its device; None where it has no stream to be timed on."""
        if not isinstance(self._session, DeviceSession):
            return None
        return device_times(self._session, source, num_calls, open_cuda(), DriverEvents())

    def close(self) -> None:
        """Close the session."""
        self._session.close()


class Estimator:
    """A `DepthEstimator` over a session with a clock."""

    def __init__(self, estimate: DepthEstimator, session: TimedSession, executor: str, arithmetic: str):
        self._estimate, self._session, self.executor, self.arithmetic = estimate, session, executor, arithmetic

    @property
    def contract(self) -> Contract:
        """What the bundle expects and gives."""
        return self._estimate.contract

    @property
    def range_m(self) -> tuple[float, float]:
        """The nearest and the farthest depth that can come, metres."""
        return self._estimate.range_m

    def answer(self, frame: Frame) -> Answer:
        """The depth of one frame."""
        depth_m = self._estimate(frame)
        return Answer(depth_m, int(self._session.outputs["num_nonfinite"][0]), self._session.backend_ns)

    def answer_batch(self, frames: Frame) -> Depth:
        """The depth of many frames, as many a run as the graph takes."""
        return self._estimate.batch(frames)

    def device_times(self, num_calls: int) -> DeviceTimes | None:
        """How long a frame takes on the device itself; None where that cannot be told."""
        return self._session.device_times(self.contract.source, num_calls)

    def close(self) -> None:
        """Close the estimator."""
        self._estimate.close()
