"""The bench's end of a worker: start it, ask it, and outlive it whatever it does."""

import multiprocessing
import signal
import time
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any

from mde_bench.machine.nvidia import memory_bytes_of
from mde_bench.timing.candidates import Answer, Candidate, Opened
from mde_bench.timing.device_times import DeviceTimes
from mde_bench.timing.gpu_time import GpuTime
from mde_bench.timing.samples import Arrival, Call
from mde_bench.timing.worker_process import serve

OPEN_TIMEOUT_S = 600.0  # an engine may have to be built
CALL_TIMEOUT_S = 60.0  # one frame: the slowest model on the slowest board takes seconds
CLOSE_TIMEOUT_S = 5.0


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
        """The answer for one of the frames."""
        answer: Answer = self._ask(self._call_timeout_s, "answer", index)
        return answer

    def block(self, seconds: float, min_calls: int) -> list[Call]:
        """Timed calls for so long, and no fewer than so many."""
        calls: list[Call] = self._ask(seconds + (min_calls + 1) * self._call_timeout_s, "block", seconds, min_calls)
        return calls

    def batch(self, size: int) -> int:
        """How long a batch of so many frames takes, in nanoseconds."""
        wall_ns: int = self._ask(size * self._call_timeout_s, "batch", size)
        return wall_ns

    def paced(self, seconds: float, fps: float) -> list[Arrival]:
        """What became of frames that arrived fps times a second for so long."""
        arrivals: list[Arrival] = self._ask(seconds + self._call_timeout_s, "paced", seconds, fps)
        return arrivals

    def take(self, path: Path) -> None:
        """Go on with the frames of another file."""
        self._ask(self._call_timeout_s, "take", str(path))

    def trace(self, num_calls: int) -> GpuTime:
        """Where so many calls spend their time on the GPU."""
        time_on_gpu: GpuTime = self._ask((num_calls + 1) * self._call_timeout_s, "trace", num_calls)
        return time_on_gpu

    def device_times(self, num_calls: int) -> DeviceTimes | None:
        """How long a frame takes on the device itself; None where that cannot be told."""
        times: DeviceTimes | None = self._ask((num_calls + 1) * self._call_timeout_s, "device_times", num_calls)
        return times

    def device_memory_bytes(self) -> int | None:
        """What the worker holds of the GPU's memory; None where its driver does not tell."""
        return None if self._process.pid is None else memory_bytes_of(self._process.pid)

    def peak_memory_bytes(self) -> int:
        """The most memory that the worker had resident so far."""
        peak: int = self._ask(CLOSE_TIMEOUT_S, "peak_memory_bytes")
        return peak

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

    def _ask(self, timeout_s: float, verb: str, *arguments: float | str) -> Any:  # Any: each verb has its own answer
        try:
            self._pipe.send((verb, arguments))
        except OSError as error:
            raise CandidateError(self._cause_of_death()) from error
        return self._receive(timeout_s)

    def _receive(self, timeout_s: float) -> Any:  # Any: as `_ask`
        start = time.monotonic()
        try:
            if not self._pipe.poll(timeout_s):
                self._process.kill()
                raise CandidateError(f"did not answer within {time.monotonic() - start:.0f} s")
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
            return f"its process was ended by {signal.Signals(-code).name}"
        return f"its process ended with exit code {code}"
