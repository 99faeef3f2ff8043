"""A bundle through the estimator, as a robot runs it; the backend's own call is timed inside it."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt

from mde_bench.candidates import Answer, Frame
from mde_runtime.backends import Arrays, Session
from mde_runtime.bundle import read_bundle
from mde_runtime.choosing import choose
from mde_runtime.estimator import DepthEstimator


def open_subject(bundle: str, backend: str, precision: str, num_threads: int) -> "Estimator":
    """Open one precision of a bundle on one backend. The first time on a machine it is verified there."""
    read = read_bundle(Path(bundle))
    session, choice = choose(read, backend, precision, num_threads)
    timed = TimedSession(session)
    executor = f"{choice.verification.in_words} on {session.executor}"
    return Estimator(DepthEstimator(timed, read.contract, choice), timed, executor)


class TimedSession:
    """A session with a clock around its run, which costs a tenth of a microsecond."""

    def __init__(self, session: Session):
        self._session = session
        self.executor, self.device, self.arithmetic = session.executor, session.device, session.arithmetic
        self.backend_ns = 0
        self.outputs: Arrays = {}

    def run(self, feeds: Mapping[str, npt.NDArray[Any]]) -> Arrays:
        """The session's own answer; how long it took stands in `backend_ns` afterwards."""
        start = time.perf_counter_ns()
        self.outputs = self._session.run(feeds)
        self.backend_ns = time.perf_counter_ns() - start
        return self.outputs

    def close(self) -> None:
        """Close the session."""
        self._session.close()


class Estimator:
    """A `DepthEstimator` over a session with a clock."""

    def __init__(self, estimate: DepthEstimator, session: TimedSession, executor: str):
        self._estimate, self._session, self.executor = estimate, session, executor

    def answer(self, frame: Frame) -> Answer:
        """The depth of one frame."""
        depth_m = self._estimate(frame)
        return Answer(depth_m, int(self._session.outputs["num_nonfinite"][0]), self._session.backend_ns)

    def close(self) -> None:
        """Close the estimator."""
        self._estimate.close()
