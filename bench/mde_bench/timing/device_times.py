"""A frame's time on the GPU: its copies and its computing, by events on its stream: without what the host adds.

Not run on a GPU by this project yet; its logic runs in the tests over memory and a clock of the host.
"""

import contextlib
import ctypes
import itertools
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


@dataclass(frozen=True)
class DeviceTimes:
    """Of one frame, medians in seconds. An integrated GPU shares its memory with the CPU and copies nothing."""

    num_calls: int
    compute_s: float
    upload_s: float
    download_s: float
    engine_sha256: str | None  # of the engine that was timed


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


def device_times(
    session: DeviceSession, source: SourceFrame, num_calls: int, cuda: Cuda, events: Events
) -> DeviceTimes:
    """Time calls of a session that runs on a stream, with page-locked memory on the host as the estimator has it."""
    num_frames = session.max_batch or 1
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
        for call in range(num_calls + 1):
            events.record(marks[0], stream)
            for host, pointer in (copied[name] for name in copied if name == "frame"):
                cuda.upload(pointer, host, stream)
            events.record(marks[1], stream)
            session.run_on(stream, pointers)
            events.record(marks[2], stream)
            for host, pointer in (copied[name] for name in copied if name != "frame"):
                cuda.download(host, pointer, stream)
            events.record(marks[3], stream)
            cuda.wait(stream)
            spans[call] = [events.seconds_between(*pair) for pair in itertools.pairwise(marks)]
    upload_s, compute_s, download_s = np.median(spans[1:], axis=0) / num_frames  # the first warms up
    engine_sha256 = session.engine_sha256 if isinstance(session, BuiltSession) else None
    return DeviceTimes(num_calls, float(compute_s), float(upload_s), float(download_s), engine_sha256)


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

    def _must(self, error: int) -> None:
        if error:
            raise MachineError(f"CUDA's events fail with error {error}; restart the process, and look at nvidia-smi")
