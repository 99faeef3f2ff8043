"""A bundle that is slower by a known share, to find out what `mde-bench compare` sees."""

import time

from mde_bench.candidates import Answer, Frame
from mde_bench.subjects.estimator import Estimator
from mde_bench.subjects.estimator import open_subject as open_estimator
from mde_runtime.certificate import Precision


def open_subject(bundle: str, backend: str, precision: Precision, num_threads: int, slower_permille: int) -> "Slowed":
    """Open a bundle and make every call longer by so many thousandths of what its backend took."""
    return Slowed(open_estimator(bundle, backend, precision, num_threads), slower_permille / 1000)


class Slowed:
    """An estimator that lingers after every call."""

    def __init__(self, estimator: Estimator, share: float):
        self._estimator, self._share, self.executor = estimator, share, estimator.executor

    def answer(self, frame: Frame) -> Answer:
        """The estimator's answer, late."""
        start = time.perf_counter_ns()
        answer = self._estimator.answer(frame)
        end = time.perf_counter_ns()
        until = end + (end - start) * self._share
        while time.perf_counter_ns() < until:
            pass
        return answer

    def close(self) -> None:
        """Close the estimator."""
        self._estimator.close()
