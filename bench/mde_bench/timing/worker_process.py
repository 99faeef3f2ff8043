"""The process of one candidate: opens it, answers the bench over a pipe, and measures.

The bench sends a method of `Duty` with its arguments; what comes back is ("done", value), ("failed", reason)
or ("absent", reason) where this machine cannot.
"""

import faulthandler
import importlib
import os
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from mde_bench.timing import usage
from mde_bench.timing.candidates import Answer, Candidate, Frame, OnDevice, Opened, Subject
from mde_bench.timing.device_times import DeviceTimes
from mde_bench.timing.gpu_time import GpuTime, traced
from mde_bench.timing.samples import Arrival, Call
from mde_runtime.errors import MachineError, reason_of

FRAMES = "frames.npy"
MAX_CALLS = 100  # in a block: 2,500 samples in a window are enough for a p99, and a result stays a small file

NO_STREAM = "this backend gives no stream to be timed on"


def serve(pipe: Connection, candidate: Candidate, folder: Path) -> None:
    """Answer until the pipe closes, over the frames in `folder`.

    What libraries print goes to a file there: stdout belongs to the bench's results.
    """
    handle = os.open(folder / f"{os.getpid()}.log", os.O_WRONLY | os.O_CREAT)
    os.dup2(handle, sys.stdout.fileno())
    os.dup2(handle, sys.stderr.fileno())
    faulthandler.enable()
    try:
        duty = Duty(_open(candidate), np.load(folder / FRAMES))
        pipe.send(("done", Opened(duty.subject.executor, duty.subject.arithmetic)))
        while True:
            verb, arguments = pipe.recv()
            pipe.send(("done", verb(duty, *arguments)))
    except EOFError:  # the bench has closed its end
        duty.subject.close()
    except MachineError as error:
        pipe.send(("absent", str(error)))
    except Exception as error:  # noqa: BLE001  a candidate may fail in any way; the bench names it and goes on
        pipe.send(("failed", f"{type(error).__name__}: {error}".splitlines()[0]))


def _open(candidate: Candidate) -> Subject:
    module, _, function = candidate.opener.partition(":")
    opener: Callable[..., Subject] = getattr(importlib.import_module(module), function)
    return opener(**candidate.options)


class Duty:
    """What the bench may ask: `Worker` has a method for each, with its time limit."""

    def __init__(self, subject: Subject, frames: Frame):
        self.subject, self._frames, self._next = subject, frames, 0

    def take(self, path: Path) -> None:
        """Go on with the frames of another file."""
        self._frames, self._next = np.load(path, mmap_mode="c"), 0

    def answer(self, index: int) -> Answer:
        """The answer for one of the frames."""
        return self.subject.answer(self._frames[index])

    def block(self, seconds: float, min_calls: int, lead_in_s: float) -> list[Call]:
        """Time calls for so long, no fewer than so many and no more than MAX_CALLS, over the frames in turn.

        The calls of the lead-in, one at least, are made and not counted: they pay for what the other candidates left
        in the caches, and for a clock that has fallen meanwhile.
        """
        self.busy(lead_in_s)
        calls: list[Call] = []
        end = time.perf_counter() + seconds
        while len(calls) < min_calls or (len(calls) < MAX_CALLS and time.perf_counter() < end):
            calls.append(self._timed_call())
        return calls

    def busy(self, seconds: float) -> int:
        """Call for so long, once at least; how many calls were made."""
        end, num_calls = time.perf_counter() + seconds, 0
        while not num_calls or time.perf_counter() < end:
            self._timed_call()
            num_calls += 1
        return num_calls

    def batch(self, size: int) -> int:
        """How long one batch of the frames takes, in nanoseconds."""
        frames = np.take(self._frames, np.arange(size), axis=0, mode="wrap")
        start = time.perf_counter_ns()
        self.subject.answer_batch(frames)
        return time.perf_counter_ns() - start

    def paced(self, seconds: float, fps: float) -> list[Arrival]:
        """Let frames arrive fps times a second; each is taken when the one before is done, unless a newer is there."""
        period_ns = round(1e9 / fps)
        arrivals: list[Arrival] = []
        start = time.perf_counter_ns()
        num_frames = max(1, round(seconds * fps))
        while len(arrivals) < num_frames:
            arrival_ns = start + len(arrivals) * period_ns
            time.sleep(max(0, arrival_ns - time.perf_counter_ns()) / 1e9)
            is_outdated = time.perf_counter_ns() >= arrival_ns + period_ns
            if not is_outdated:
                self._timed_call()
            arrivals.append(Arrival(None if is_outdated else time.perf_counter_ns() - arrival_ns))
        return arrivals

    def trace(self, num_calls: int) -> GpuTime:
        """Where so many calls spend their time on the GPU."""
        self._timed_call()
        return traced(self._timed_call, num_calls)

    def device_times(self, num_calls: int) -> DeviceTimes | str:
        """How long a frame takes on the device itself, or why that cannot be told: what was measured stands."""
        if not isinstance(self.subject, OnDevice):
            return NO_STREAM
        try:
            return self.subject.device_times(num_calls) or NO_STREAM
        except Exception as error:  # noqa: BLE001  a library may fail in any way
            return reason_of(error)

    def peak_memory_bytes(self) -> int | None:
        """The most memory that this process had resident so far; None where its system does not count."""
        return usage.peak_memory_bytes()

    def _timed_call(self) -> Call:
        frame = self._frames[self._next % len(self._frames)]
        self._next += 1
        before, cpu = usage.num_preemptions(), time.process_time_ns()
        start = time.perf_counter_ns()
        answer = self.subject.answer(frame)
        end = time.perf_counter_ns()
        cpu_ns, after = time.process_time_ns() - cpu, usage.num_preemptions()
        num_preemptions = None if before is None or after is None else after - before
        return Call(end - start, answer.backend_ns, cpu_ns, num_preemptions)
