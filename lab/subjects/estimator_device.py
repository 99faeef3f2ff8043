"""A bundle through the estimator, for batches of frames (N, H, W, 3).

A bundle's graph takes one frame or any number; only a graph of one size can be captured, so every size that comes gets
its own.
"""

import time
from pathlib import Path

from lab.subjects.fixed_batch import ByBatch, with_batch
from mde_bench.subjects.estimator import TimedSession
from mde_bench.timing.candidates import Answer, Depth, Frame
from mde_runtime import verify
from mde_runtime.backends import Session, open_session
from mde_runtime.bundle import read_bundle
from mde_runtime.choice import Choice
from mde_runtime.estimator import DepthEstimator
from mde_runtime.precision import Precision

BACKENDS = {("onnxruntime", "cuda"): "onnxruntime-cuda", ("onnxruntime", "cpu"): "onnxruntime-cpu"}


def open_subject(model: str, device: str, backend: str, precision: Precision) -> "EstimatorOnDevice":
    """Open and verify a bundle. backend: onnxruntime, or a flavour of TensorRT, whose engine has to be there."""
    bundle, name = read_bundle(Path(model)), BACKENDS.get((backend, device), backend)

    def session_for(size: int) -> Session:
        graph = bundle.graph(precision)
        return open_session(name, with_batch(graph, size) if backend == "onnxruntime" else graph)

    single = TimedSession(session_for(1))
    verification = verify.verify(bundle, name, precision, single)
    choice = Choice.asked_for(name, precision, verification, is_newly_verified=True)
    many = ByBatch(lambda size: DepthEstimator(session_for(size), bundle.contract, choice))
    return EstimatorOnDevice(DepthEstimator(single, bundle.contract, choice), single, many, verification)


class EstimatorOnDevice:
    """An estimator for single frames, and one for every size of a batch."""

    def __init__(
        self,
        estimate: DepthEstimator,
        session: TimedSession,
        many: ByBatch[DepthEstimator],
        verification: verify.Verification,
    ):
        self._estimate, self._session, self._many = estimate, session, many
        self.arithmetic = verification.arithmetic
        self.executor = f"{verification.in_words}, {session.executor}"

    def answer(self, frame: Frame) -> Answer:
        """The depth of a batch of frames. For one frame the backend's call is the session's, else the estimator's."""
        if len(frame) == 1:
            depth_m = self._estimate(frame[0])
            return Answer(depth_m[None], int(self._session.outputs["num_nonfinite"][0]), self._session.backend_ns)
        estimate = self._many[len(frame)]
        start = time.perf_counter_ns()
        return Answer(estimate.batch(frame), 0, time.perf_counter_ns() - start)

    def answer_batch(self, frames: Frame) -> Depth:
        """As `answer`."""
        return self.answer(frames).depth_m

    def close(self) -> None:
        """Close them all."""
        for estimate in (self._estimate, *self._many.opened.values()):
            estimate.close()
