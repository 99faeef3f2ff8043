"""CUDA from Python: one protocol of the calls that an engine needs, and two drivers of it.

cuda-bindings has wheels for every platform and captures graphs; pycuda is what many Jetson installations have, and it
has no graphs, so there every frame is launched call by call. Where both are installed, cuda-bindings is taken.
"""

import importlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from mde_runtime.errors import MachineError

DRIVERS = {"cuda-bindings": "mde_runtime.cuda.bindings", "pycuda": "mde_runtime.cuda.pycuda"}
OLDEST_CUDA = 12000  # of the driver, as CUDA counts: the graph calls are those of 12.0

NO_DRIVER = "no NVIDIA driver (libcuda is not installed); install NVIDIA's driver"
TOO_OLD = "the NVIDIA driver is too old"
NO_DEVICE = "the NVIDIA driver finds no GPU; check CUDA_VISIBLE_DEVICES and nvidia-smi"


@dataclass(frozen=True)
class Gpu:
    """The GPU that this process uses: the first that CUDA shows (CUDA_VISIBLE_DEVICES chooses it)."""

    name: str
    compute_capability: str  # e.g. 8.7
    num_multiprocessors: int
    memory_bytes: int
    is_integrated: bool  # shares its memory with the CPU, as on Jetson
    driver_version: int  # as CUDA gives it: 12060 is 12.6


class Graphs(Protocol):
    """Work that is recorded once and launched as a whole, which spares the host most of its part in it."""

    def capture(self, stream: int, work: Callable[[], None]) -> int:
        """The graph of all that `work` queues on the stream; nothing of it runs."""
        ...

    def launch(self, graph: int, stream: int) -> None:
        """Queue a whole graph."""
        ...

    def free(self, graph: int) -> None:
        """Give a graph back."""
        ...


class Cuda(Protocol):
    """The calls of CUDA that an engine needs. Pointers, streams, events and graphs are plain integers.

    Every call raises MachineError where CUDA fails, with CUDA's own word for it.
    """

    name: str  # driver and its version
    graphs: Graphs | None  # None: this driver cannot, so every frame is launched call by call

    def gpu(self) -> Gpu:
        """The GPU."""
        ...

    def pci_bus_id(self) -> str:
        """Where the GPU sits, as NVIDIA's tools write it: they count GPUs in another order than CUDA."""
        ...

    def current(self) -> AbstractContextManager[None]:
        """The block in which this thread may make the calls below, and others that work on the GPU."""
        ...

    def new_stream(self) -> int:
        """A stream: what is queued on it runs in order."""
        ...

    def free_stream(self, stream: int) -> None:
        """Give a stream back."""
        ...

    def wait(self, stream: int) -> None:
        """Wait until all that was queued on the stream is done."""
        ...

    def new_event(self) -> int:
        """A mark to put into streams. A stream that it was never put into holds nobody up."""
        ...

    def free_event(self, event: int) -> None:
        """Give an event back."""
        ...

    def record(self, event: int, stream: int) -> None:
        """Put the mark behind all that was queued on the stream."""
        ...

    def order_after(self, stream: int, event: int) -> None:
        """Hold the stream up, on the device, until the mark as it was last recorded is reached. The host goes on."""
        ...

    def new_device(self, num_bytes: int) -> int:
        """Memory on the device."""
        ...

    def free_device(self, pointer: int) -> None:
        """Give memory on the device back."""
        ...

    def new_host(self, shape: tuple[int, ...], dtype: npt.DTypeLike, *, is_mapped: bool) -> npt.NDArray[Any]:
        """Page-locked memory on the host, that copies run from and to while Python goes on. Lives till `free_host`."""
        ...

    def device_pointer(self, host: npt.NDArray[Any]) -> int:
        """Where the device sees mapped host memory."""
        ...

    def free_host(self, host: npt.NDArray[Any]) -> None:
        """Give page-locked memory back. Nothing may use the array afterwards."""
        ...

    def upload(self, pointer: int, host: npt.NDArray[Any], stream: int) -> None:
        """Queue a copy to the device."""
        ...

    def download(self, host: npt.NDArray[Any], pointer: int, stream: int) -> None:
        """Queue a copy from the device."""
        ...


def open_cuda() -> Cuda:
    """The first driver that starts on this machine. Raises MachineError that names why none does."""
    reasons = []
    for name, module in DRIVERS.items():
        try:
            cuda: Cuda = importlib.import_module(module).open()
            return cuda
        except MachineError as error:  # noqa: PERF203  two drivers, tried once
            reasons.append(f"{name}: {error}")
    raise MachineError(f"CUDA is not available ({', '.join(reasons)}); run mde-doctor")


def too_old(driver_version: int, needed: int = OLDEST_CUDA) -> str:
    """The sentence for a driver that is older than the CUDA that is needed."""
    return (
        f"{TOO_OLD}: it supports CUDA {version_text(driver_version)}, and {version_text(needed)} is needed; "
        "update NVIDIA's driver"
    )


def version_text(version: int) -> str:
    """CUDA's number for a version in words: 12060 is 12.6."""
    return f"{version // 1000}.{version % 1000 // 10}"


def num_bytes_of(shape: tuple[int, ...], dtype: npt.DTypeLike) -> int:
    """The size of an array in bytes."""
    return int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
