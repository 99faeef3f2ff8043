"""CUDA by cuda-bindings: NVIDIA's own wheels, for CUDA 12 and 13. Not run on a GPU by this project yet.

The driver API and not the runtime's: wheels from 12.9 on carry a static CUDA runtime that wants a driver of its own
version or later, while the driver API asks the installed driver for each function by name. Its calls give
(error, result, ...) and never raise, except where the driver's library or a function of it is missing.
"""

import contextlib
import ctypes
import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from mde_runtime import installation
from mde_runtime.cuda import NO_DEVICE, NO_DRIVER, OLDEST_CUDA, Cuda, Gpu, Graphs, num_bytes_of, too_old
from mde_runtime.errors import MachineError

try:
    from cuda import bindings
    from cuda.bindings import driver
except ImportError as error:
    raise MachineError(
        f"cuda-bindings cannot be loaded ({error}); {installation.adding('cuda13')}, or [cuda12] for a "
        "driver of CUDA 12"
    ) from error

PCI_BUS_ID_BYTES = 16  # 0000:01:00.0 and its end
DEVICE = 0  # of those that CUDA_VISIBLE_DEVICES leaves


@functools.cache
def open() -> Cuda:
    """CUDA on the first device. Raises MachineError where there is no driver, no GPU, or too old a driver.

    One for the process: the primary context is retained, and given back by the driver when the process ends.
    """
    return CudaBindings()


class CudaBindings:
    """The driver API on the primary context, which torch and onnxruntime share."""

    def __init__(self) -> None:
        self.name = f"cuda-bindings {bindings.__version__}"
        try:
            started = driver.cuInit(0)
        except RuntimeError as error:  # where there is no libcuda; cuda-pathfinder has a class of its own below it
            raise MachineError(NO_DRIVER) from error
        _checked(started)
        (self._version,) = _checked(driver.cuDriverGetVersion())
        if self._version < OLDEST_CUDA:
            raise MachineError(too_old(self._version))
        (self._device,) = _checked(driver.cuDeviceGet(DEVICE))
        (self._context,) = _checked(driver.cuDevicePrimaryCtxRetain(self._device))
        self.graphs: Graphs | None = BindingsGraphs()

    def gpu(self) -> Gpu:
        """The GPU."""
        kind = driver.CUdevice_attribute

        def attribute(which: Any) -> int:  # Any: cuda-bindings publishes no types
            (value,) = _checked(driver.cuDeviceGetAttribute(which, self._device))
            return int(value)

        (name,) = _checked(driver.cuDeviceGetName(256, self._device))
        (memory_bytes,) = _checked(driver.cuDeviceTotalMem(self._device))
        major = attribute(kind.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)
        minor = attribute(kind.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)
        return Gpu(
            name=name.split(b"\0")[0].decode(),
            compute_capability=f"{major}.{minor}",
            num_multiprocessors=attribute(kind.CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT),
            memory_bytes=memory_bytes,
            is_integrated=bool(attribute(kind.CU_DEVICE_ATTRIBUTE_INTEGRATED)),
            driver_version=self._version,
        )

    def pci_bus_id(self) -> str:
        """Where the GPU sits."""
        (number,) = _checked(driver.cuDeviceGetPCIBusId(PCI_BUS_ID_BYTES, self._device))
        return str(number.split(b"\0")[0].decode())

    @contextlib.contextmanager
    def current(self) -> Iterator[None]:
        """Push the context and pop it again: the context that was current in this thread is current afterwards."""
        _checked(driver.cuCtxPushCurrent(self._context))
        try:
            yield
        finally:
            driver.cuCtxPopCurrent()  # an error here is that of earlier work; raised, it would lose what the block made

    def new_stream(self) -> int:
        """A stream that does not wait for the default one."""
        (stream,) = _checked(driver.cuStreamCreate(int(driver.CUstream_flags.CU_STREAM_NON_BLOCKING)))
        return int(stream)

    def free_stream(self, stream: int) -> None:
        """Give a stream back."""
        _checked(driver.cuStreamDestroy(stream))

    def wait(self, stream: int) -> None:
        """Wait until all that was queued on the stream is done."""
        _checked(driver.cuStreamSynchronize(stream))

    def new_event(self) -> int:
        """A mark, without a time: that would cost the device more."""
        (event,) = _checked(driver.cuEventCreate(int(driver.CUevent_flags.CU_EVENT_DISABLE_TIMING)))
        return int(event)

    def free_event(self, event: int) -> None:
        """Give an event back."""
        _checked(driver.cuEventDestroy(event))

    def record(self, event: int, stream: int) -> None:
        """Put the mark behind all that was queued on the stream."""
        _checked(driver.cuEventRecord(event, stream))

    def order_after(self, stream: int, event: int) -> None:
        """Hold the stream up, on the device, until the mark is reached."""
        _checked(driver.cuStreamWaitEvent(stream, event, 0))

    def new_device(self, num_bytes: int) -> int:
        """Memory on the device."""
        (pointer,) = _checked(driver.cuMemAlloc(num_bytes))
        return int(pointer)

    def free_device(self, pointer: int) -> None:
        """Give memory on the device back."""
        _checked(driver.cuMemFree(pointer))

    def new_host(self, shape: tuple[int, ...], dtype: npt.DTypeLike, *, is_mapped: bool) -> npt.NDArray[Any]:
        """Page-locked memory on the host."""
        num_bytes = num_bytes_of(shape, dtype)
        flags = driver.CU_MEMHOSTALLOC_DEVICEMAP if is_mapped else 0
        (pointer,) = _checked(driver.cuMemHostAlloc(num_bytes, flags), "page-locked memory")
        memory = (ctypes.c_uint8 * num_bytes).from_address(int(pointer))
        host: npt.NDArray[Any] = np.ctypeslib.as_array(memory).view(dtype).reshape(shape)
        return host

    def device_pointer(self, host: npt.NDArray[Any]) -> int:
        """Where the device sees mapped host memory."""
        (pointer,) = _checked(driver.cuMemHostGetDevicePointer(host.ctypes.data, 0))
        return int(pointer)

    def free_host(self, host: npt.NDArray[Any]) -> None:
        """Give page-locked memory back."""
        _checked(driver.cuMemFreeHost(host.ctypes.data))

    def upload(self, pointer: int, host: npt.NDArray[Any], stream: int) -> None:
        """Queue a copy to the device."""
        _checked(driver.cuMemcpyHtoDAsync(pointer, host.ctypes.data, host.nbytes, stream))

    def download(self, host: npt.NDArray[Any], pointer: int, stream: int) -> None:
        """Queue a copy from the device."""
        _checked(driver.cuMemcpyDtoHAsync(host.ctypes.data, pointer, host.nbytes, stream))


class BindingsGraphs:
    """CUDA graphs, instantiated and ready to launch."""

    def __init__(self) -> None:
        self._executables: dict[int, Any] = {}  # Any: opaque handles of the library

    def capture(self, stream: int, work: Callable[[], None]) -> int:
        """Record what this thread queues on the stream; other threads go on as they were."""
        _checked(driver.cuStreamBeginCapture(stream, driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL))
        try:
            work()
        except BaseException:
            error, graph = driver.cuStreamEndCapture(stream)  # a stream left capturing can do nothing else any more
            if error == driver.CUresult.CUDA_SUCCESS:
                driver.cuGraphDestroy(graph)
            raise
        (graph,) = _checked(driver.cuStreamEndCapture(stream))
        error, executable = driver.cuGraphInstantiate(graph, 0)
        destroyed = driver.cuGraphDestroy(graph)
        _checked((error,))
        self._executables[int(executable)] = executable
        try:
            _checked(destroyed)
        except MachineError:
            self.free(int(executable))
            raise
        return int(executable)

    def launch(self, graph: int, stream: int) -> None:
        """Queue a whole graph."""
        _checked(driver.cuGraphLaunch(self._executables[graph], stream))

    def free(self, graph: int) -> None:
        """Give a graph back."""
        _checked(driver.cuGraphExecDestroy(self._executables.pop(graph)))


def _checked(result: tuple[Any, ...], memory: str = "the GPU's memory") -> tuple[Any, ...]:
    """What a call gave beside its error. Raises MachineError for an error; `memory` is the kind that it asked for."""
    error, *values = result
    if error == driver.CUresult.CUDA_SUCCESS:
        return tuple(values)
    if error == driver.CUresult.CUDA_ERROR_NO_DEVICE:
        raise MachineError(NO_DEVICE)
    if error == driver.CUresult.CUDA_ERROR_OUT_OF_MEMORY:
        raise MachineError(f"{memory} is full; close other programs that use it, or use a smaller batch")
    _, words = driver.cuGetErrorString(error)
    raise MachineError(f"CUDA: {(words or b'unknown error').decode()} ({error.name}); run mde-doctor")
