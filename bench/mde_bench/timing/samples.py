"""The samples of one candidate, frozen before any statistics are made of it."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Nanoseconds = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Call:
    """One timed call: end to end, the part of it that was the backend's, and what the process paid for it."""

    wall_ns: int  # frame in, depth out
    backend_ns: int  # of that, inside the backend's own call
    cpu_ns: int  # processor time of all threads of the process
    num_preemptions: int | None  # involuntary context switches: the machine was busy. None: Windows does not count


@dataclass(frozen=True)
class Arrival:
    """A frame that arrived at its time, whether the candidate was ready or not."""

    latency_ns: int | None  # from its arrival to its depth; None: a newer frame was there before it could be taken


@dataclass(frozen=True)
class Samples:
    """Every timed call of one candidate in order of time, as columns. round says in which round a call was made."""

    round: tuple[int, ...]
    wall_ns: tuple[int, ...]
    backend_ns: tuple[int, ...]
    cpu_ns: tuple[int, ...]
    num_preemptions: tuple[int, ...] | None

    @classmethod
    def of(cls, blocks: Iterable[Iterable[Call]]) -> "Samples":
        """The samples of the blocks of calls, one block a round."""
        calls = [(number, call) for number, block in enumerate(blocks) for call in block]
        preemptions = [call.num_preemptions for _, call in calls if call.num_preemptions is not None]
        return cls(
            round=tuple(number for number, _ in calls),
            wall_ns=tuple(call.wall_ns for _, call in calls),
            backend_ns=tuple(call.backend_ns for _, call in calls),
            cpu_ns=tuple(call.cpu_ns for _, call in calls),
            num_preemptions=tuple(preemptions) if len(preemptions) == len(calls) else None,
        )

    @property
    def preempted_share(self) -> float | None:
        """The share of the calls that the system interrupted; None where it does not count."""
        return None if self.num_preemptions is None else float(np.mean(np.asarray(self.num_preemptions) > 0))

    @property
    def host_ns(self) -> Nanoseconds:
        """What each call spent outside the backend."""
        return np.asarray(self.wall_ns, np.int64) - np.asarray(self.backend_ns, np.int64)
