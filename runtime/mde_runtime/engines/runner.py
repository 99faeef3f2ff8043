"""Running an engine: buffers made once, addresses bound once, and where the driver can, one graph for a whole frame.

Knows no TensorRT: what computes is a function that queues work on a stream. So its logic is tested without a GPU.
"""

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from mde_runtime.cuda import Cuda, num_bytes_of
from mde_runtime.cuda.owned import Owned
from mde_runtime.errors import BadInputError, MachineError, UsageError

Arrays = dict[str, npt.NDArray[Any]]

NUM_TIMED = 15
ALIGNMENT_BYTES = 256  # of a tensor's address, "at least": NvInferRuntime.h, setTensorAddress


@dataclass(frozen=True)
class Tensor:
    """An input or output of an engine, at the shape that it runs at."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    is_input: bool
    is_mark: bool = False  # an output that breaks fusion, which nobody reads


class Buffer:
    """A tensor's memory: an array on the host, and the pointer that the engine is given.

    On an integrated GPU both are the same memory, mapped, and nothing is copied.
    """

    def __init__(self, cuda: Cuda, tensor: Tensor, owned: Owned, *, is_mapped: bool):
        """owned: gives the memory back."""
        self._cuda, self._is_mapped = cuda, is_mapped
        self.host = cuda.new_host(tensor.shape, tensor.dtype, is_mapped=is_mapped)
        owned.give_back(cuda.free_host, self.host)
        if is_mapped:
            self.pointer = cuda.device_pointer(self.host)
        else:
            self.pointer = cuda.new_device(num_bytes_of(tensor.shape, tensor.dtype))
            owned.give_back(cuda.free_device, self.pointer)

    def upload(self, stream: int) -> None:
        """Queue what the host holds to the device."""
        if not self._is_mapped:
            self._cuda.upload(self.pointer, self.host, stream)

    def download(self, stream: int) -> None:
        """Queue what the device holds to the host."""
        if not self._is_mapped:
            self._cuda.download(self.host, self.pointer, stream)


class Runner:
    """An engine's buffers and stream, warmed up, and its frame as a graph where that can be captured."""

    def __init__(
        self,
        cuda: Cuda,
        tensors: tuple[Tensor, ...],
        bind: Callable[[str, int], bool],
        enqueue: Callable[[int], bool],
        *,
        is_mapped: bool,
    ):
        """bind: give the engine the address of a tensor. enqueue: queue its work on a stream. Both: False for no."""
        self._cuda, self._bind, self._enqueue = cuda, bind, enqueue
        self._tensors = tuple(tensor for tensor in tensors if not tensor.is_mark)
        self.max_batch = next(tensor.shape[0] for tensor in tensors if tensor.is_input)
        self._num_started = 0
        with cuda.current(), Owned() as owned:
            self._stream = cuda.new_stream()
            owned.give_back(cuda.free_stream, self._stream)
            self._mark = cuda.new_event()
            owned.give_back(cuda.free_event, self._mark)
            self._buffers = {tensor.name: Buffer(cuda, tensor, owned, is_mapped=is_mapped) for tensor in self._tensors}
            self._marks: dict[str, int] = {}
            for tensor in tensors:
                if tensor.is_mark:
                    self._marks[tensor.name] = cuda.new_device(num_bytes_of(tensor.shape, tensor.dtype))
                    owned.give_back(cuda.free_device, self._marks[tensor.name])
            owned.give_back(cuda.wait, self._stream)  # before the memory goes that work may be using
            self._bind_own()
            self._launch_eagerly()  # the first run loads kernels, which cannot be captured
            cuda.wait(self._stream)
            self._graph, self.how = self._captured(owned)
            owned.give_back(cuda.wait, self._stream)  # before the graph goes, too
            self._owned = owned.pop_all()

    def run(self, feeds: Mapping[str, npt.NDArray[Any]], out: Mapping[str, npt.NDArray[Any]] | None) -> Arrays:
        """Every output for `feeds`; written to `out` where it is given."""
        self.must_be_free()
        return self._answer(self._launched(feeds), out)  # nothing that an interrupt could leave started

    def start(self, feeds: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take the inputs and queue the run. Waits for nothing."""
        self.must_be_free()
        self._num_started = self._launched(feeds)

    def finish(self) -> Arrays:
        """Wait for the run that was started. Every output."""
        num_frames, self._num_started = self._num_started, 0
        return self._answer(num_frames, None)

    def drop(self) -> None:
        """Wait for the run that was started, if any was, and forget it."""
        if self._num_started:
            self._num_started = 0
            with self._cuda.current():
                self._cuda.wait(self._stream)

    def run_on(self, stream: int, pointers: Mapping[str, int], after: Collection[int] = ()) -> None:
        """Queue one run on the caller's stream, from and to the caller's device memory. Waits for nothing.

        All runs share the engine's scratch memory, so the device takes them in the order of their calls, whichever
        streams they are on: this one waits there for all before it, and all after it wait for this one. It also waits
        there for what is queued on the streams `after`, which may still be at work on that memory.
        """
        self.must_be_free()
        for name, pointer in pointers.items():
            if pointer % ALIGNMENT_BYTES:
                raise BadInputError(
                    f"{name} is at {pointer:#x}, and the engine takes multiples of {ALIGNMENT_BYTES} bytes; pass a "
                    "copy instead of a view into another array"
                )
        with self._cuda.current():
            try:
                for name, pointer in pointers.items():
                    self._point(name, pointer)
                for other in (self._stream, *after):
                    if other != stream:
                        self._order(stream, after=other)
                try:
                    self._must(self._enqueue(stream))
                finally:
                    self._order(self._stream, after=stream)
            finally:
                self._bind_own()

    def must_be_free(self) -> None:
        """Raises UsageError where a run was started and not finished, or the runner is closed."""
        if self._num_started:
            raise UsageError("a stream is running on this estimator; end it first, or open another estimator")
        if not self._buffers:
            _refuse()

    def seconds_of_a_run(self) -> float:
        """The median of a few runs of zeros, from host memory to host memory."""
        feeds = {tensor.name: np.zeros(tensor.shape, tensor.dtype) for tensor in self._tensors if tensor.is_input}
        spans = []
        for _ in range(NUM_TIMED):
            start = time.perf_counter()
            self.run(feeds, None)
            spans.append(time.perf_counter() - start)
        return float(np.median(spans))

    def close(self) -> None:
        """Wait for what is queued, and give everything back, whatever of it fails. The second time there is nothing."""
        self._num_started = 0
        self._buffers, self._marks = {}, {}
        with self._cuda.current(), self._owned:
            self._bind = self._enqueue = _refuse  # they held the engine's context, and a lane may outlive the session

    def _launched(self, feeds: Mapping[str, npt.NDArray[Any]]) -> int:
        """Take the inputs and queue the run; of how many frames."""
        num_frames = self._fill(feeds)
        with self._cuda.current():
            if self._graph is not None and self._cuda.graphs is not None:
                self._cuda.graphs.launch(self._graph, self._stream)
            else:
                self._launch_eagerly()
        return num_frames

    def _answer(self, num_frames: int, out: Mapping[str, npt.NDArray[Any]] | None) -> Arrays:
        """Wait, and take the outputs of the first frames."""
        with self._cuda.current():
            self._cuda.wait(self._stream)
        outputs = (tensor.name for tensor in self._tensors if not tensor.is_input)
        answer = {name: self._buffers[name].host[:num_frames] for name in outputs}
        if out is None:
            return {name: array.copy() for name, array in answer.items()}
        for name, array in answer.items():
            np.copyto(out[name], array)
        return dict(out)

    def _fill(self, feeds: Mapping[str, npt.NDArray[Any]]) -> int:
        """Take the inputs. Fewer frames than the engine's batch come first; what stands behind them is ignored."""
        num_frames = 0
        for tensor in self._tensors:
            if tensor.is_input:
                feed = feeds.get(tensor.name)
                if feed is None or feed.shape[1:] != tensor.shape[1:] or feed.dtype != tensor.dtype:
                    found = "nothing" if feed is None else f"{feed.dtype} {feed.shape}"
                    raise BadInputError(
                        f"the engine cannot run the graph: {tensor.name} is {found}, not {tensor.dtype} "
                        f"{tensor.shape}; pass that"
                    )
                num_frames = len(feed)
                if not 1 <= num_frames <= tensor.shape[0]:
                    raise BadInputError(
                        f"the engine cannot run {num_frames} frames at once, {tensor.shape[0]} at most; pass fewer"
                    )
                np.copyto(self._buffers[tensor.name].host[:num_frames], feed)
        return num_frames

    def _bind_own(self) -> None:
        for name, buffer in self._buffers.items():
            self._point(name, buffer.pointer)
        for name, pointer in self._marks.items():
            self._point(name, pointer)

    def _point(self, name: str, pointer: int) -> None:
        """Give the engine a tensor's address. Where it keeps the one before it would read and write there."""
        if not self._bind(name, pointer):
            raise MachineError(
                f"the engine rejects the address {pointer:#x} of {name}, which must be on the GPU and a multiple of "
                f"{ALIGNMENT_BYTES} bytes; open the bundle again, or build the engine again: mde-bundle engine MODEL"
            )

    def _order(self, stream: int, *, after: int) -> None:
        """Let a stream go on when all that is queued on the other is done."""
        self._cuda.record(self._mark, after)
        self._cuda.order_after(stream, self._mark)

    def _launch_eagerly(self) -> None:
        for tensor in self._tensors:
            if tensor.is_input:
                self._buffers[tensor.name].upload(self._stream)
        self._must(self._enqueue(self._stream))
        for tensor in self._tensors:
            if not tensor.is_input:
                self._buffers[tensor.name].download(self._stream)

    def _captured(self, owned: Owned) -> tuple[int | None, str]:
        """The frame as a graph, and in words how frames are launched; eager where there can be none."""
        graphs = self._cuda.graphs
        if graphs is None:
            return None, f"eager: {self._cuda.name} has no graphs"
        try:
            graph = graphs.capture(self._stream, self._launch_eagerly)
        except MachineError as error:
            return None, f"eager: no graph could be captured ({error})"
        owned.give_back(graphs.free, graph)
        return graph, "one CUDA graph per frame"

    def _must(self, is_queued: bool) -> None:
        if not is_queued:
            raise MachineError("the engine failed to run; get its build log with mde-bundle engine --log FILE")


def _refuse(*_: object) -> NoReturn:
    raise UsageError("this estimator is closed; open the bundle again")
