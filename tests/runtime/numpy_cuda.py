"""A stand-in of CUDA whose device memory is numpy arrays, and an engine for it. Products never get it."""

# ruff: noqa: ARG002, ARG005  it takes what the protocol gives

import collections
import contextlib
import ctypes

import numpy as np

from mde_runtime import MachineError
from mde_runtime.cuda import Gpu


class NumpyGraphs:
    """Records thunks, and queues them when the graph is launched."""

    def __init__(self, cuda):
        self.cuda, self.recorded, self.num_launched = cuda, {}, 0

    def capture(self, stream, work):
        self.cuda.fallible()
        self.cuda.recording = []
        try:
            work()
        finally:
            thunks, self.cuda.recording = self.cuda.recording, None
        self.recorded[len(self.recorded) + 1] = thunks
        return len(self.recorded)

    def launch(self, graph, stream):
        self.num_launched += 1
        for thunk in self.recorded[graph]:
            self.cuda.queue(stream, thunk)

    def free(self, graph):
        del self.recorded[graph]
        self.cuda.freed()


class NumpyCuda:
    """CUDA's calls on the host: a pointer is the address of a numpy array, and streams run as badly as they may.

    Nothing runs before somebody waits; then all streams go on in turns, one step each, so that what no event puts in
    order is mixed up. fails_at: which of the calls that can fail does so. `frees_fail`: whatever gives back does.
    """

    name = "numpy"
    ALIGNMENT_BYTES = 256

    def __init__(self, has_graphs=True, fails_at=None):
        self.graphs = NumpyGraphs(self) if has_graphs else None
        self.is_mapped = False
        self.recording = None
        self.device, self.host, self.streams, self.events = {}, {}, set(), {}
        self.queues = collections.defaultdict(collections.deque)
        self.num_copies = self.num_waits = self.num_fallible = self.depth = 0
        self.fails_at, self.frees_fail = fails_at, False

    def gpu(self):
        return Gpu("numpy", "0.0", 1, 0, self.is_mapped, 0)

    @contextlib.contextmanager
    def current(self):
        self.depth += 1
        try:
            yield
        finally:
            self.depth -= 1

    @property
    def held(self):
        """How much was made and not given back."""
        graphs = self.graphs.recorded if self.graphs else ()
        return sum(map(len, (self.device, self.host, self.streams, self.events, graphs)))

    def fallible(self):
        self.num_fallible += 1
        if self.num_fallible == self.fails_at:
            raise MachineError("the stand-in has no more")

    def freed(self):
        assert self.depth, "the GPU's things are given back inside `current`"
        assert not any(self.queues.values()), "nothing is given back while work is queued"
        if self.frees_fail:
            raise MachineError("the stand-in cannot give back")

    def new_stream(self):
        self.fallible()
        stream = 1 + max(self.streams, default=0)
        self.streams.add(stream)
        return stream

    def free_stream(self, stream):
        self.streams.remove(stream)
        self.freed()

    def new_event(self):
        self.fallible()
        event = 1 + max(self.events, default=0)
        self.events[event] = [True]  # whether it was reached, as last recorded
        return event

    def free_event(self, event):
        del self.events[event]
        self.freed()

    def record(self, event, stream):
        reached = self.events[event] = [False]
        self.queue(stream, lambda: reached.__setitem__(0, True))

    def order_after(self, stream, event):
        reached = self.events[event]
        self.queue(stream, lambda: reached[0])

    def wait(self, stream):
        assert self.recording is None, "a capture must not wait"
        self.num_waits += 1
        while self.queues[stream]:
            for steps in list(self.queues.values()):
                if steps and steps[0]() is not False:
                    steps.popleft()

    def new_device(self, num_bytes):
        self.fallible()
        array = np.zeros(num_bytes + self.ALIGNMENT_BYTES, np.uint8)
        pointer = -(-array.ctypes.data // self.ALIGNMENT_BYTES) * self.ALIGNMENT_BYTES
        self.device[pointer] = array
        return pointer

    def free_device(self, pointer):
        del self.device[pointer]
        self.freed()

    def new_host(self, shape, dtype, *, is_mapped):
        self.fallible()
        num_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        memory = np.zeros(num_bytes + self.ALIGNMENT_BYTES, np.uint8)
        start = -memory.ctypes.data % self.ALIGNMENT_BYTES
        array = memory[start : start + num_bytes].view(dtype).reshape(shape)
        self.host[array.ctypes.data] = (memory, is_mapped)
        return array

    def device_pointer(self, host):
        assert self.host[host.ctypes.data][1], "only mapped memory has a device pointer"
        return host.ctypes.data

    def free_host(self, host):
        del self.host[host.ctypes.data]
        self.freed()

    def queue(self, stream, thunk):
        assert self.depth, "work on the GPU belongs inside `current`"
        if self.recording is None:
            self.queues[stream].append(thunk)
        else:
            self.recording.append(thunk)

    def upload(self, pointer, host, stream):
        self._copy(pointer, host.ctypes.data, host.nbytes, stream)

    def download(self, host, pointer, stream):
        self._copy(host.ctypes.data, pointer, host.nbytes, stream)

    def _copy(self, to, source, num_bytes, stream):
        def copy():
            self.num_copies += 1
            ctypes.memmove(to, source, num_bytes)

        self.queue(stream, copy)


class HalfOf:
    """An engine that halves 8 values: depth is frame / 2, by way of scratch memory that all its runs share."""

    def __init__(self, cuda):
        self.cuda, self.addresses, self.works = cuda, {}, True
        self.refuses = lambda name, pointer: False
        self.scratch = np.zeros(8, np.float32)

    def bind(self, name, pointer):
        if self.refuses(name, pointer):
            return False
        self.addresses[name] = pointer
        return True

    def enqueue(self, stream):
        at = dict(self.addresses)  # as a captured graph does, it keeps the addresses that it was recorded with

        def read():
            self.scratch[:] = (ctypes.c_uint8 * 8).from_address(at["frame"])

        def halve():
            self.scratch /= 2

        def write():
            np.ctypeslib.as_array((ctypes.c_float * 8).from_address(at["depth_m"]))[:] = self.scratch

        for step in (read, halve, write):
            self.cuda.queue(stream, step)
        return self.works
