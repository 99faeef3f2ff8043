"""A candidate in its own process, from the bench's end: start it, ask it, and outlive it whatever it does."""

import multiprocessing
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, TypeVar

from mde_bench.machine.nvml import memory_bytes_of
from mde_bench.timing.candidates import Answer, Candidate, Opened
from mde_bench.timing.device_times import DeviceTimes
from mde_bench.timing.gpu_time import GpuTime
from mde_bench.timing.samples import Arrival, Call
from mde_bench.timing.worker_process import Duty, serve

Arguments = ParamSpec("Arguments")
Value = TypeVar("Value")

OPEN_TIMEOUT_S = 600.0  # an engine may have to be built
CALL_TIMEOUT_S = 60.0  # one frame: the slowest model on the slowest board takes seconds
CLOSE_TIMEOUT_S = 5.0
GPU_LEAD_IN_S = 0.2  # an idle GPU lowers its clock, and takes some 0.1 s to raise it; trtexec warms up for as long


class CandidateError(Exception):
    """A candidate failed: the message is the reason, one line, for its row."""


class AbsentError(CandidateError):
    """A candidate cannot run on this machine, which is no fault of its own."""


OUTCOMES = {"failed": CandidateError, "absent": AbsentError}


class Worker:
    """A candidate in its own process, over the frames in `folder`.

    The process is spawned, not forked: a forked CUDA context or thread pool does not work.
    """

    def __init__(self, candidate: Candidate, folder: Path, call_timeout_s: float = CALL_TIMEOUT_S):
        self.candidate, self._call_timeout_s = candidate, call_timeout_s
        context = multiprocessing.get_context("spawn")
        self._pipe: Connection
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, candidate, folder), daemon=True)
        self._process.start()
        theirs.close()

    def opened(self) -> Opened:
        """Wait until the candidate is open; what it turned out to be."""
        opened: Opened = self._receive(OPEN_TIMEOUT_S)
        return opened

    def answer(self, index: int) -> Answer:
        """As `Duty.answer`."""
        return self._ask(self._call_timeout_s, Duty.answer, index)

    def block(self, seconds: float, min_calls: int, *, follows_on: bool = False) -> list[Call]:
        """As `Duty.block`, after as long as the clock of a GPU takes to rise. follows_on: no pause was before it."""
        is_cold = self.candidate.device == "cuda" and not follows_on
        lead_in_s = GPU_LEAD_IN_S if is_cold else 0.0
        limit_s = seconds + lead_in_s + (min_calls + 2) * self._call_timeout_s
        return self._ask(limit_s, Duty.block, seconds, min_calls, lead_in_s)

    def busy(self, seconds: float) -> int:
        """As `Duty.busy`."""
        return self._ask(seconds + self._call_timeout_s, Duty.busy, seconds)

    def batch(self, size: int) -> int:
        """As `Duty.batch`."""
        return self._ask(size * self._call_timeout_s, Duty.batch, size)

    def paced(self, seconds: float, fps: float) -> list[Arrival]:
        """As `Duty.paced`."""
        return self._ask(seconds + self._call_timeout_s, Duty.paced, seconds, fps)

    def take(self, path: Path) -> None:
        """As `Duty.take`."""
        self._ask(self._call_timeout_s, Duty.take, path)

    def trace(self, num_calls: int) -> GpuTime:
        """As `Duty.trace`."""
        return self._ask((num_calls + 1) * self._call_timeout_s, Duty.trace, num_calls)

    def device_times(self, num_calls: int) -> DeviceTimes | str:
        """As `Duty.device_times`."""
        return self._ask((num_calls + 1) * self._call_timeout_s, Duty.device_times, num_calls)

    def peak_memory_bytes(self) -> int | None:
        """As `Duty.peak_memory_bytes`."""
        return self._ask(CLOSE_TIMEOUT_S, Duty.peak_memory_bytes)

    def device_memory_bytes(self) -> int | None:
        """How much of the GPU's memory the process holds; None where its driver does not tell."""
        return None if self._process.pid is None else memory_bytes_of(self._process.pid)

    def close(self) -> None:
        """End the worker: ask it to, and kill it when it does not."""
        self._pipe.close()
        self._process.join(CLOSE_TIMEOUT_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(
        self,
        timeout_s: float,
        verb: Callable[Concatenate[Duty, Arguments], Value],
        *arguments: Arguments.args,
        **_named: Arguments.kwargs,  # always empty: the type of *arguments cannot stand alone
    ) -> Value:
        try:
            self._pipe.send((verb, arguments))
        except OSError as error:
            raise CandidateError(self._cause_of_death()) from error
        value: Value = self._receive(timeout_s)
        return value

    def _receive(self, timeout_s: float) -> Any:  # Any: each verb has its own answer
        start = time.monotonic()
        try:
            if not self._pipe.poll(timeout_s):
                self._process.kill()
                raise CandidateError(f"did not respond within {time.monotonic() - start:.0f} s")
            outcome, value = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise CandidateError(self._cause_of_death()) from error
        if outcome != "done":
            raise OUTCOMES[outcome](value)
        return value

    def _cause_of_death(self) -> str:
        self._process.join(CLOSE_TIMEOUT_S)
        code = self._process.exitcode
        if code is not None and code < 0:
            return f"its process was killed by {signal.Signals(-code).name}"
        return f"its process exited with code {code}"
