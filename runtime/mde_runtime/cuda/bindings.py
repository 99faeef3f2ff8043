"""CUDA by cuda-bindings: NVIDIA's own wheels, for CUDA 12 and 13. Not run on a GPU by this project yet.

Its calls give (error, result, ...) and never raise, except where the driver's library is missing.
"""

import contextlib
import ctypes
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from mde_runtime.cuda import Cuda, Gpu, Graphs, num_bytes_of
from mde_runtime.errors import MachineError

try:
    from cuda import bindings
    from cuda.bindings import runtime
except ImportError as error:
    raise MachineError(
        f"cuda-bindings does not load here ({error}); install 'mde-toolchain[cuda13]', or [cuda12] for a driver "
        "of CUDA 12"
    ) from error

DEVICE = 0  # of those that CUDA_VISIBLE_DEVICES leaves


def open() -> Cuda:
    """CUDA on the first device. Raises MachineError where there is no driver or no GPU."""
    return CudaBindings()


class CudaBindings:
    """The runtime API on the primary context, which torch and onnxruntime share."""

    def __init__(self) -> None:
        self.name = f"cuda-bindings {bindings.__version__}"
        _checked(runtime.cudaSetDevice(DEVICE))
        self.graphs: Graphs | None = BindingsGraphs()

    def gpu(self) -> Gpu:
        """The GPU."""
        (properties,) = _checked(runtime.cudaGetDeviceProperties(DEVICE))
        (driver_version,) = _checked(runtime.cudaDriverGetVersion())
        return Gpu(
            name=properties.name.decode().rstrip("\0"),
            compute_capability=f"{properties.major}.{properties.minor}",
            num_multiprocessors=properties.multiProcessorCount,
            memory_bytes=properties.totalGlobalMem,
            is_integrated=bool(properties.integrated),
            driver_version=driver_version,
        )

    @contextlib.contextmanager
    def current(self) -> Iterator[None]:
        """The primary context is there in every thread by itself; only the device has to be the right one."""
        _checked(runtime.cudaSetDevice(DEVICE))
        yield

    def new_stream(self) -> int:
        """A stream that does not wait for the default one."""
        (stream,) = _checked(runtime.cudaStreamCreateWithFlags(runtime.cudaStreamNonBlocking))
        return int(stream)

    def free_stream(self, stream: int) -> None:
        """Give a stream back."""
        _checked(runtime.cudaStreamDestroy(stream))

    def wait(self, stream: int) -> None:
        """Wait until all that was queued on the stream is done."""
        _checked(runtime.cudaStreamSynchronize(stream))

    def new_event(self) -> int:
        """A mark, without a time: that would cost the device more."""
        (event,) = _checked(runtime.cudaEventCreateWithFlags(runtime.cudaEventDisableTiming))
        return int(event)

    def free_event(self, event: int) -> None:
        """Give an event back."""
        _checked(runtime.cudaEventDestroy(event))

    def record(self, event: int, stream: int) -> None:
        """Put the mark behind all that was queued on the stream."""
        _checked(runtime.cudaEventRecord(event, stream))

    def order_after(self, stream: int, event: int) -> None:
        """Hold the stream up, on the device, until the mark is reached."""
        _checked(runtime.cudaStreamWaitEvent(stream, event, runtime.cudaEventWaitDefault))

    def new_device(self, num_bytes: int) -> int:
        """Memory on the device."""
        (pointer,) = _checked(runtime.cudaMalloc(num_bytes))
        return int(pointer)

    def free_device(self, pointer: int) -> None:
        """Give memory on the device back."""
        _checked(runtime.cudaFree(pointer))

    def new_host(self, shape: tuple[int, ...], dtype: npt.DTypeLike, *, is_mapped: bool) -> npt.NDArray[Any]:
        """Page-locked memory on the host."""
        num_bytes = num_bytes_of(shape, dtype)
        flags = runtime.cudaHostAllocMapped if is_mapped else runtime.cudaHostAllocDefault
        (pointer,) = _checked(runtime.cudaHostAlloc(num_bytes, flags))
        memory = (ctypes.c_uint8 * num_bytes).from_address(int(pointer))
        host: npt.NDArray[Any] = np.ctypeslib.as_array(memory).view(dtype).reshape(shape)
        return host

    def device_pointer(self, host: npt.NDArray[Any]) -> int:
        """Where the device sees mapped host memory."""
        (pointer,) = _checked(runtime.cudaHostGetDevicePointer(host.ctypes.data, 0))
        return int(pointer)

    def free_host(self, host: npt.NDArray[Any]) -> None:
        """Give page-locked memory back."""
        _checked(runtime.cudaFreeHost(host.ctypes.data))

    def upload(self, pointer: int, host: npt.NDArray[Any], stream: int) -> None:
        """Queue a copy to the device."""
        kind = runtime.cudaMemcpyKind.cudaMemcpyHostToDevice
        _checked(runtime.cudaMemcpyAsync(pointer, host.ctypes.data, host.nbytes, kind, stream))

    def download(self, host: npt.NDArray[Any], pointer: int, stream: int) -> None:
        """Queue a copy from the device."""
        kind = runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost
        _checked(runtime.cudaMemcpyAsync(host.ctypes.data, pointer, host.nbytes, kind, stream))


class BindingsGraphs:
    """CUDA graphs, instantiated and ready to launch."""

    def __init__(self) -> None:
        self._executables: dict[int, Any] = {}  # Any: opaque handles of the library

    def capture(self, stream: int, work: Callable[[], None]) -> int:
        """Record what this thread queues on the stream; other threads go on as they were."""
        _checked(runtime.cudaStreamBeginCapture(stream, runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal))
        try:
            work()
        finally:  # a stream that is left capturing can do nothing else any more
            ended = runtime.cudaStreamEndCapture(stream)
        (graph,) = _checked(ended)
        try:
            (executable,) = _checked(runtime.cudaGraphInstantiate(graph, 0))
        finally:
            _checked(runtime.cudaGraphDestroy(graph))
        self._executables[int(executable)] = executable
        return int(executable)

    def launch(self, graph: int, stream: int) -> None:
        """Queue a whole graph."""
        _checked(runtime.cudaGraphLaunch(self._executables[graph], stream))

    def free(self, graph: int) -> None:
        """Give a graph back."""
        _checked(runtime.cudaGraphExecDestroy(self._executables.pop(graph)))


def _checked(result: tuple[Any, ...]) -> tuple[Any, ...]:
    """What a call gave beside its error. Raises MachineError for an error."""
    error, *values = result
    if error == runtime.cudaError_t.cudaSuccess:
        return tuple(values)
    if error in (runtime.cudaError_t.cudaErrorInsufficientDriver, runtime.cudaError_t.cudaErrorNoDevice):
        raise MachineError(
            f"there is no NVIDIA GPU, no driver, or one too old for it ({error.name}); install NVIDIA's driver"
        )
    _, words = runtime.cudaGetErrorString(error)
    if error == runtime.cudaError_t.cudaErrorMemoryAllocation:
        raise MachineError("the GPU's memory is full; close what else uses it, or take a smaller batch")
    raise MachineError(f"CUDA: {words.decode()} ({error.name}); look into mde-doctor")
