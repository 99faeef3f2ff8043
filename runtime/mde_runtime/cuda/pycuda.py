"""CUDA by pycuda, which many Jetson installations have. Not run on a GPU by this project yet.

The primary context is retained and never made by `pycuda.autoinit`: a context of its own would fight with that of
torch and onnxruntime. It has no graph API, and no object for a stream that it did not make, so events are the driver's.
"""

import contextlib
import ctypes
import functools
import os
import weakref
from collections.abc import Iterator
from typing import Any

import numpy.typing as npt

from mde_runtime import installation
from mde_runtime.cuda import NO_DEVICE, NO_DRIVER, OLDEST_CUDA, Cuda, Gpu, Graphs, too_old
from mde_runtime.errors import MachineError

try:
    import pycuda
    import pycuda.driver as driver
except ImportError as error:
    if "libcuda" in str(error):
        raise MachineError(NO_DRIVER) from error
    raise MachineError(
        f"pycuda cannot be loaded ({error}); {installation.adding('pycuda')} on a machine with the CUDA toolkit"
    ) from error

DEVICE = 0  # of those that CUDA_VISIBLE_DEVICES leaves
EVENT_DISABLE_TIMING, EVENT_WAIT_DEFAULT = 2, 0  # cuda.h


@functools.cache
def open() -> Cuda:
    """CUDA on the first device. Raises MachineError where there is no driver or no GPU.

    One for the process: pycuda frees a primary context that was retained once too often as if it had made it, and
    leaves one on the thread's stack. It is released at exit, after the sessions that were opened later than it.
    """
    try:
        driver.init()
        version = driver.get_driver_version()
        if version < OLDEST_CUDA:
            raise MachineError(too_old(version))
        if not driver.Device.count():
            raise MachineError(NO_DEVICE)
        return PyCuda()
    except driver.Error as error:
        if "no CUDA-capable device" in str(error):
            raise MachineError(NO_DEVICE) from error
        raise MachineError(f"CUDA: {error}; install NVIDIA's driver") from error


class PyCuda:
    """pycuda's driver API on the primary context; its objects live here under the integers that they stand for."""

    graphs: Graphs | None = None

    def __init__(self) -> None:
        self.name = f"pycuda {pycuda.VERSION_TEXT}"
        self._device = driver.Device(DEVICE)
        self._driver = ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")  # pycuda has loaded it already
        self._context = self._device.retain_primary_context()
        weakref.finalize(self, self._context.detach)
        self._streams: dict[int, Any] = {}  # Any: pycuda publishes no types
        self._memory: dict[int, Any] = {}

    def gpu(self) -> Gpu:
        """The GPU."""
        return _call(self._described)  # type: ignore[no-any-return]  # pycuda publishes no types

    def pci_bus_id(self) -> str:
        """Where the GPU sits."""
        return str(_call(self._device.pci_bus_id))

    @contextlib.contextmanager
    def current(self) -> Iterator[None]:
        """Push the context and pop it again: pycuda aborts a thread that ends with a context on its stack."""
        _call(self._context.push)
        try:
            yield
        finally:
            with contextlib.suppress(driver.Error):  # of earlier work; raised, it would lose what the block made
                driver.Context.pop()

    def new_stream(self) -> int:
        """A stream."""
        stream = _call(driver.Stream)
        self._streams[stream.handle] = stream
        return int(stream.handle)

    def free_stream(self, stream: int) -> None:
        """Give a stream back: pycuda does with the last reference."""
        del self._streams[stream]

    def new_event(self) -> int:
        """A mark, without a time: that would cost the device more."""
        event = ctypes.c_void_p()
        self._ask("cuEventCreate", ctypes.byref(event), EVENT_DISABLE_TIMING)
        return event.value or 0

    def free_event(self, event: int) -> None:
        """Give an event back."""
        self._ask("cuEventDestroy_v2", ctypes.c_void_p(event))

    def record(self, event: int, stream: int) -> None:
        """Put the mark behind all that was queued on the stream."""
        self._ask("cuEventRecord", ctypes.c_void_p(event), ctypes.c_void_p(stream))

    def order_after(self, stream: int, event: int) -> None:
        """Hold the stream up, on the device, until the mark is reached."""
        self._ask("cuStreamWaitEvent", ctypes.c_void_p(stream), ctypes.c_void_p(event), EVENT_WAIT_DEFAULT)

    def wait(self, stream: int) -> None:
        """Wait until all that was queued on the stream is done."""
        _call(self._streams[stream].synchronize)

    def new_device(self, num_bytes: int) -> int:
        """Memory on the device."""
        memory = _call(driver.mem_alloc, num_bytes)
        self._memory[int(memory)] = memory
        return int(memory)

    def free_device(self, pointer: int) -> None:
        """Give memory on the device back."""
        _call(self._memory.pop(pointer).free)

    def new_host(self, shape: tuple[int, ...], dtype: npt.DTypeLike, *, is_mapped: bool) -> npt.NDArray[Any]:
        """Page-locked memory on the host."""
        flags = driver.host_alloc_flags.DEVICEMAP if is_mapped else 0
        make = functools.partial(driver.pagelocked_empty, mem_flags=flags)
        host: npt.NDArray[Any] = _call(make, shape, dtype, memory="page-locked memory")
        return host

    def device_pointer(self, host: npt.NDArray[Any]) -> int:
        """Where the device sees mapped host memory."""
        return int(_call(host.base.get_device_pointer))  # type: ignore[union-attr]  # pycuda's own allocation

    def free_host(self, host: npt.NDArray[Any]) -> None:
        """Give page-locked memory back."""
        _call(host.base.free)  # type: ignore[union-attr]  # pycuda's own allocation

    def upload(self, pointer: int, host: npt.NDArray[Any], stream: int) -> None:
        """Queue a copy to the device."""
        _call(driver.memcpy_htod_async, pointer, host, self._streams[stream])

    def download(self, host: npt.NDArray[Any], pointer: int, stream: int) -> None:
        """Queue a copy from the device."""
        _call(driver.memcpy_dtoh_async, host, pointer, self._streams[stream])

    def _described(self) -> Gpu:
        attribute = driver.device_attribute
        major, minor = self._device.compute_capability()
        return Gpu(
            name=self._device.name(),
            compute_capability=f"{major}.{minor}",
            num_multiprocessors=self._device.get_attribute(attribute.MULTIPROCESSOR_COUNT),
            memory_bytes=self._device.total_memory(),
            is_integrated=bool(self._device.get_attribute(attribute.INTEGRATED)),
            driver_version=driver.get_driver_version(),
        )

    def _ask(self, name: str, *arguments: Any) -> None:  # Any: ctypes' own values
        if error := getattr(self._driver, name)(*arguments):
            raise MachineError(f"CUDA: {name} fails with error {error}; run mde-doctor")


def _call(function: Any, *arguments: Any, memory: str = "the GPU's memory") -> Any:  # Any: pycuda publishes no types
    """A call of pycuda. Raises MachineError for its errors; `memory` is the kind that the call asks for."""
    try:
        return function(*arguments)
    except driver.MemoryError as error:
        raise MachineError(f"{memory} is full; close other programs that use it, or use a smaller batch") from error
    except driver.Error as error:
        raise MachineError(f"CUDA: {error}; run mde-doctor") from error
