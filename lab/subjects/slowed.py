"""A bundle that is slower by a known share, to find out what `mde-bench compare` sees."""

import time

from mde_bench.subjects.estimator import Estimator
from mde_bench.subjects.estimator import open_subject as open_estimator
from mde_bench.timing.candidates import Answer, Depth, Frame
from mde_runtime.precision import Precision


def open_subject(bundle: str, backend: str, precision: Precision, num_threads: int, slower_permille: int) -> "Slowed":
    """Open a bundle and make every call longer by so many thousandths of what it computed.

    Meant for one thread: what other threads compute meanwhile does not count.
    """
    return Slowed(open_estimator(bundle, backend, precision, num_threads), slower_permille / 1000)


class Slowed:
    """An estimator that lingers after every call."""

    def __init__(self, estimator: Estimator, share: float):
        self._estimator, self._share = estimator, share
        self.executor, self.arithmetic = estimator.executor, estimator.arithmetic

    def answer(self, frame: Frame) -> Answer:
        """The estimator's answer, late."""
        start = time.thread_time_ns()
        answer = self._estimator.answer(frame)
        end = time.thread_time_ns()
        until = end + (end - start) * self._share
        while time.thread_time_ns() < until:  # by the thread's own clock: right on a busy machine too
            pass
        return answer

    def answer_batch(self, frames: Frame) -> Depth:
        """The estimator's answer, in time: only single frames are slowed."""
        return self._estimator.answer_batch(frames)

    def close(self) -> None:
        """Close the estimator."""
        self._estimator.close()
