"""CUDA by pycuda, which many Jetson installations have. Not run on a GPU by this project yet.

The primary context is retained and never made by `pycuda.autoinit`: a context of its own would fight with that of
torch and onnxruntime. It has no graph API.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy.typing as npt

from mde_runtime.cuda import Cuda, Gpu, Graphs
from mde_runtime.errors import MachineError

try:
    import pycuda
    import pycuda.driver as driver
except ImportError as error:
    raise MachineError(
        f"pycuda does not load here ({error}); install 'mde-toolchain[pycuda]' where CUDA's toolkit is"
    ) from error

DEVICE = 0  # of those that CUDA_VISIBLE_DEVICES leaves


def open() -> Cuda:
    """CUDA on the first device. Raises MachineError where there is no driver or no GPU."""
    try:
        return PyCuda()
    except driver.Error as error:
        raise MachineError(f"CUDA: {error}; install NVIDIA's driver") from error


class PyCuda:
    """pycuda's driver API on the primary context; its objects live here under the integers that they stand for."""

    graphs: Graphs | None = None

    def __init__(self) -> None:
        self.name = f"pycuda {pycuda.VERSION_TEXT}"
        driver.init()
        self._device = driver.Device(DEVICE)
        self._context = self._device.retain_primary_context()
        self._streams: dict[int, Any] = {}  # Any: pycuda publishes no types
        self._memory: dict[int, Any] = {}

    def gpu(self) -> Gpu:
        """The GPU."""
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

    @contextlib.contextmanager
    def current(self) -> Iterator[None]:
        """Push the context and pop it again: pycuda aborts a thread that ends with a context on its stack."""
        self._context.push()
        try:
            yield
        finally:
            driver.Context.pop()

    def new_stream(self) -> int:
        """A stream."""
        stream = self._call(driver.Stream)
        self._streams[stream.handle] = stream
        return int(stream.handle)

    def free_stream(self, stream: int) -> None:
        """Give a stream back: pycuda does with the last reference."""
        del self._streams[stream]

    def wait(self, stream: int) -> None:
        """Wait until all that was queued on the stream is done."""
        self._call(self._streams[stream].synchronize)

    def new_device(self, num_bytes: int) -> int:
        """Memory on the device."""
        memory = self._call(driver.mem_alloc, num_bytes)
        self._memory[int(memory)] = memory
        return int(memory)

    def free_device(self, pointer: int) -> None:
        """Give memory on the device back."""
        self._memory.pop(pointer).free()

    def new_host(self, shape: tuple[int, ...], dtype: npt.DTypeLike, *, is_mapped: bool) -> npt.NDArray[Any]:
        """Page-locked memory on the host."""
        flags = driver.host_alloc_flags.DEVICEMAP if is_mapped else 0
        host: npt.NDArray[Any] = self._call(driver.pagelocked_empty, shape, dtype, mem_flags=flags)
        return host

    def device_pointer(self, host: npt.NDArray[Any]) -> int:
        """Where the device sees mapped host memory."""
        return int(host.base.get_device_pointer())  # type: ignore[union-attr]  # pycuda's own allocation

    def free_host(self, host: npt.NDArray[Any]) -> None:
        """Give page-locked memory back."""
        host.base.free()  # type: ignore[union-attr]  # pycuda's own allocation

    def upload(self, pointer: int, host: npt.NDArray[Any], stream: int) -> None:
        """Queue a copy to the device."""
        self._call(driver.memcpy_htod_async, pointer, host, self._streams[stream])

    def download(self, host: npt.NDArray[Any], pointer: int, stream: int) -> None:
        """Queue a copy from the device."""
        self._call(driver.memcpy_dtoh_async, host, pointer, self._streams[stream])

    def _call(self, function: Any, *arguments: Any, **named: Any) -> Any:  # Any: pycuda publishes no types
        try:
            return function(*arguments, **named)
        except driver.MemoryError as error:
            raise MachineError("the GPU's memory is full; close what else uses it, or take a smaller batch") from error
        except driver.Error as error:
            raise MachineError(f"CUDA: {error}; look into mde-doctor") from error
