"""A frame's time on the GPU: its copies and its computing, by events on its stream: without what the host adds.

Not run on a GPU by this project yet; its logic runs in the tests over memory and a clock of the host.
"""

import contextlib
import ctypes
import itertools
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from mde_bench.machine.nvidia import open_driver
from mde_runtime.backends import BuiltSession, DeviceSession
from mde_runtime.contract import SourceFrame
from mde_runtime.cuda import Cuda, num_bytes_of
from mde_runtime.errors import MachineError

HOST_FUNCTION = ctypes.CFUNCTYPE(None, ctypes.c_void_p)  # CUhostFn
HOLD_S = 1.0  # far more than launching any network takes; where a queue is too short for one, it ends the waiting


@dataclass(frozen=True)
class DeviceTimes:
    """Of one frame, medians in seconds. An integrated GPU shares its memory with the CPU and copies nothing."""

    num_calls: int
    compute_s: float
    upload_s: float | None  # None: nothing is copied
    download_s: float | None
    engine_sha256: str | None  # of the engine that was timed

    @property
    def copies_s(self) -> float:
        """Both copies together."""
        return (self.upload_s or 0.0) + (self.download_s or 0.0)


class Events(Protocol):
    """Marks in a stream, and the time between two of them."""

    def new(self) -> int:
        """A mark."""
        ...

    def record(self, event: int, stream: int) -> None:
        """Queue a mark."""
        ...

    def seconds_between(self, first: int, second: int) -> float:
        """How long the device took from the one to the other; both have passed."""
        ...

    def free(self, event: int) -> None:
        """Give a mark back."""
        ...

    def wait(self, stream: int) -> None:
        """Wait until all that was queued on the stream is done, without Python's lock.

        What holds the stream is a function in Python, which cannot end while somebody waits for it with the lock, as
        cuda-bindings 12.8 does.
        """
        ...

    def held(self, stream: int) -> contextlib.AbstractContextManager[None]:
        """The block after which the stream goes on: the device starts when all of it is queued.

        Raises MachineError where the stream could not be held for so long.
        """
        ...


def device_times(
    session: DeviceSession, source: SourceFrame, num_calls: int, cuda: Cuda, events: Events
) -> DeviceTimes:
    """Time calls of a session that runs on a stream, with page-locked memory on the host as the estimator has it.

    Each call is queued as a whole before the device begins, or the marks would hold the time that the host takes to
    launch kernel after kernel. Raises MachineError where the device cannot be held back for so long.
    """
    num_frames = session.device_batch
    spans = np.empty((num_calls + 1, 3))
    with cuda.current(), contextlib.ExitStack() as stack:
        stream = cuda.new_stream()
        stack.callback(cuda.free_stream, stream)
        buffers = {
            name: stack.enter_context(_buffer(cuda, shape, dtype))
            for name, (shape, dtype) in _tensors(source, num_frames).items()
        }
        pointers = {name: pointer for name, (_, pointer) in buffers.items()}
        copied = {} if cuda.gpu().is_integrated else buffers
        marks = [stack.enter_context(_mark(events)) for _ in range(4)]
        stack.callback(events.wait, stream)  # before the memory goes that work may be using
        for call in range(num_calls + 1):
            with events.held(stream) if call else contextlib.nullcontext():  # the first warms up, and may load kernels
                events.record(marks[0], stream)
                for host, pointer in (copied[name] for name in copied if name == "frame"):
                    cuda.upload(pointer, host, stream)
                events.record(marks[1], stream)
                session.run_on(stream, pointers)
                events.record(marks[2], stream)
                for host, pointer in (copied[name] for name in copied if name != "frame"):
                    cuda.download(host, pointer, stream)
                events.record(marks[3], stream)
            events.wait(stream)
            spans[call] = [events.seconds_between(*pair) for pair in itertools.pairwise(marks)]
    upload_s, compute_s, download_s = map(float, np.median(spans[1:], axis=0) / num_frames)
    engine_sha256 = session.engine_sha256 if isinstance(session, BuiltSession) else None
    if not copied:
        return DeviceTimes(num_calls, compute_s, None, None, engine_sha256)
    return DeviceTimes(num_calls, compute_s, upload_s, download_s, engine_sha256)


def _tensors(source: SourceFrame, num_frames: int) -> dict[str, tuple[tuple[int, ...], npt.DTypeLike]]:
    shape = (num_frames, source.height_px, source.width_px)
    return {
        "frame": ((*shape, 3), np.uint8),
        "depth_m": (shape, np.float32),
        "num_nonfinite": ((num_frames,), np.int32),
    }


@contextlib.contextmanager
def _buffer(cuda: Cuda, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Iterator[tuple[npt.NDArray[Any], int]]:
    """Page-locked memory on the host, and where the device has its own, or sees that."""
    is_mapped = cuda.gpu().is_integrated
    host = cuda.new_host(shape, dtype, is_mapped=is_mapped)
    pointer = cuda.device_pointer(host) if is_mapped else cuda.new_device(num_bytes_of(shape, dtype))
    try:
        yield host, pointer
    finally:
        if not is_mapped:
            cuda.free_device(pointer)
        cuda.free_host(host)


@contextlib.contextmanager
def _mark(events: Events) -> Iterator[int]:
    mark = events.new()
    try:
        yield mark
    finally:
        events.free(mark)


class DriverEvents:
    """CUDA's events by the driver itself, whichever binding made the stream."""

    def __init__(self) -> None:
        self._driver = open_driver()
        self._functions: list[Any] = []  # Any: ctypes has no name for the type of a callback

    def new(self) -> int:
        """A mark."""
        event = ctypes.c_void_p()
        self._must(self._driver.cuEventCreate(ctypes.byref(event), 0))
        return event.value or 0

    def record(self, event: int, stream: int) -> None:
        """Queue a mark."""
        self._must(self._driver.cuEventRecord(ctypes.c_void_p(event), ctypes.c_void_p(stream)))

    def seconds_between(self, first: int, second: int) -> float:
        """How long the device took from the one to the other; both have passed."""
        milliseconds = ctypes.c_float()
        self._must(
            self._driver.cuEventElapsedTime(ctypes.byref(milliseconds), ctypes.c_void_p(first), ctypes.c_void_p(second))
        )
        return milliseconds.value / 1e3

    def free(self, event: int) -> None:
        """Give a mark back."""
        self._must(self._driver.cuEventDestroy_v2(ctypes.c_void_p(event)))

    def wait(self, stream: int) -> None:
        """Wait for the stream, without Python's lock: ctypes leaves it to others during a call."""
        self._must(self._driver.cuStreamSynchronize(ctypes.c_void_p(stream)))

    @contextlib.contextmanager
    def held(self, stream: int) -> Iterator[None]:
        """The block after which the stream goes on, held by a function on the host; not for ever, whatever happens."""
        queued, has_gone_on = threading.Event(), threading.Event()

        def wait(_: int | None) -> None:
            if not queued.wait(HOLD_S):
                has_gone_on.set()

        function = HOST_FUNCTION(wait)
        self._functions[:] = [*self._functions[-1:], function]  # the driver calls it later
        self._must(self._driver.cuLaunchHostFunc(ctypes.c_void_p(stream), function, None))
        try:
            yield
        finally:
            queued.set()
        if has_gone_on.is_set():
            raise MachineError(
                f"the GPU's queue did not take a whole frame within {HOLD_S:.0f} s; see trtexec's figure instead"
            )

    def _must(self, error: int) -> None:
        if error:
            raise MachineError(f"CUDA's events fail with error {error}; restart the process and check nvidia-smi")
