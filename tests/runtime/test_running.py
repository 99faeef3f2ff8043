"""The logic above CUDA, over a stand-in whose device memory is numpy arrays. Products never get it."""

# ruff: noqa: ARG001, ARG002  the stand-in takes what the protocol gives

import contextlib
import ctypes

import numpy as np
import pytest

from mde_runtime import BadInputError, MachineError, UsageError
from mde_runtime.cuda import Gpu
from mde_runtime.engines.running import Runner, Tensor

FRAME = Tensor("frame", (2, 4), np.dtype(np.uint8), is_input=True)
DEPTH = Tensor("depth_m", (2, 4), np.dtype(np.float32), is_input=False)


class NumpyGraphs:
    """Records thunks, and runs them when the graph is launched."""

    def __init__(self, cuda):
        self.cuda, self.recorded, self.num_launched = cuda, {}, 0

    def capture(self, stream, work):
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
            thunk()

    def free(self, graph):
        del self.recorded[graph]


class NumpyCuda:
    """CUDA's calls on the host: a pointer is the address of a numpy array."""

    name = "numpy"

    def __init__(self, has_graphs=True):
        self.graphs = NumpyGraphs(self) if has_graphs else None
        self.recording = None
        self.device, self.host, self.streams = {}, {}, set()
        self.num_copies = 0
        self.is_current = False

    def gpu(self):
        return Gpu("numpy", "0.0", 1, 0, False, 0)

    @contextlib.contextmanager
    def current(self):
        self.is_current = True
        yield
        self.is_current = False

    def new_stream(self):
        self.streams.add(len(self.streams) + 1)
        return max(self.streams)

    def free_stream(self, stream):
        self.streams.remove(stream)

    def wait(self, stream):
        assert self.recording is None, "a capture must not wait"

    def new_device(self, num_bytes):
        array = np.zeros(num_bytes, np.uint8)
        self.device[array.ctypes.data] = array
        return array.ctypes.data

    def free_device(self, pointer):
        del self.device[pointer]

    def new_host(self, shape, dtype, *, is_mapped):
        array = np.zeros(shape, dtype)
        self.host[array.ctypes.data] = is_mapped
        return array

    def device_pointer(self, host):
        assert self.host[host.ctypes.data], "only mapped memory has a device pointer"
        return host.ctypes.data

    def free_host(self, host):
        del self.host[host.ctypes.data]

    def queue(self, thunk):
        assert self.is_current, "work on the GPU belongs inside `current`"
        if self.recording is None:
            thunk()
        else:
            self.recording.append(thunk)

    def upload(self, pointer, host, stream):
        self._copy(pointer, host.ctypes.data, host.nbytes)

    def download(self, host, pointer, stream):
        self._copy(host.ctypes.data, pointer, host.nbytes)

    def _copy(self, to, source, num_bytes):
        def copy():
            self.num_copies += 1
            ctypes.memmove(to, source, num_bytes)

        self.queue(copy)


class HalfOf:
    """An engine that halves: depth is frame / 2."""

    def __init__(self, cuda):
        self.cuda, self.addresses, self.works = cuda, {}, True

    def bind(self, name, pointer):
        self.addresses[name] = pointer

    def enqueue(self, stream):
        at = dict(self.addresses)  # as a captured graph does, it keeps the addresses that it was recorded with

        def work():
            frame = np.ctypeslib.as_array((ctypes.c_uint8 * 8).from_address(at["frame"]))
            depth = np.ctypeslib.as_array((ctypes.c_float * 8).from_address(at["depth_m"]))
            depth[:] = frame / 2

        self.cuda.queue(work)
        return self.works


@pytest.fixture(params=["graph", "eager", "mapped"])
def cuda(request):
    made = NumpyCuda(has_graphs=request.param != "eager")
    made.is_mapped = request.param == "mapped"
    return made


def run_of(cuda):
    engine = HalfOf(cuda)
    return engine, Runner(cuda, (FRAME, DEPTH), engine.bind, engine.enqueue, is_mapped=cuda.is_mapped)


def frames(start):
    return {"frame": np.arange(start, start + 8, dtype=np.uint8).reshape(2, 4)}


def test_every_run_gives_its_own_answer(cuda):
    _, runner = run_of(cuda)
    for start in (0, 100, 7):
        np.testing.assert_array_equal(runner.run(frames(start), None)["depth_m"], frames(start)["frame"] / 2)


def test_results_belong_to_the_caller(cuda):
    _, runner = run_of(cuda)
    first = runner.run(frames(0), None)["depth_m"]
    runner.run(frames(100), None)
    np.testing.assert_array_equal(first, frames(0)["frame"] / 2)


def test_out_is_written_to(cuda):
    _, runner = run_of(cuda)
    out = np.empty((2, 4), np.float32)
    assert runner.run(frames(3), {"depth_m": out})["depth_m"] is out
    np.testing.assert_array_equal(out, frames(3)["frame"] / 2)


def test_fewer_frames_than_the_batch_come_back_alone(cuda):
    _, runner = run_of(cuda)
    answer = runner.run({"frame": np.full((1, 4), 8, np.uint8)}, None)["depth_m"]
    np.testing.assert_array_equal(answer, np.full((1, 4), 4))


@pytest.mark.parametrize(
    "frame", [np.zeros((3, 4), np.uint8), np.zeros((0, 4), np.uint8), np.zeros((2, 5), np.uint8), np.zeros((2, 4))]
)
def test_a_wrong_feed_is_refused_and_nothing_is_lost(cuda, frame):
    _, runner = run_of(cuda)
    with pytest.raises(BadInputError, match="the engine cannot run"):
        runner.run({"frame": frame}, None)
    assert runner.run(frames(0), None)["depth_m"].shape == (2, 4)


def test_mapped_memory_is_never_copied():
    cuda = NumpyCuda()
    cuda.is_mapped = True
    _, runner = run_of(cuda)
    runner.run(frames(0), None)
    assert cuda.num_copies == 0


def test_with_graphs_a_frame_is_one_launch():
    cuda = NumpyCuda()
    cuda.is_mapped = False
    _, runner = run_of(cuda)
    assert runner.how == "one CUDA graph a frame"
    runner.run(frames(0), None)
    assert cuda.graphs.num_launched == 1


def test_without_graphs_it_runs_eagerly_and_says_so():
    cuda = NumpyCuda(has_graphs=False)
    cuda.is_mapped = False
    _, runner = run_of(cuda)
    assert runner.how == "eager: numpy has no graphs"


def test_a_capture_that_fails_leaves_an_eager_runner_that_says_so():
    cuda = NumpyCuda()
    cuda.is_mapped = False

    def refuse(stream, work):
        raise MachineError("operation not permitted when stream is capturing")

    cuda.graphs.capture = refuse
    _, runner = run_of(cuda)
    assert runner.how.startswith("eager: no graph could be captured (operation not permitted")
    np.testing.assert_array_equal(runner.run(frames(1), None)["depth_m"], frames(1)["frame"] / 2)


def test_a_run_on_the_callers_memory_leaves_the_own_buffers_bound(cuda):
    _, runner = run_of(cuda)
    frame, depth = np.full(8, 40, np.uint8), np.zeros(8, np.float32)
    runner.run_on(9, {"frame": frame.ctypes.data, "depth_m": depth.ctypes.data})
    np.testing.assert_array_equal(depth, np.full(8, 20))
    np.testing.assert_array_equal(runner.run(frames(5), None)["depth_m"], frames(5)["frame"] / 2)


def test_an_engine_that_refuses_to_run_is_an_error(cuda):
    engine = HalfOf(cuda)
    engine.works = False
    with pytest.raises(MachineError, match="refused to run"):
        Runner(cuda, (FRAME, DEPTH), engine.bind, engine.enqueue, is_mapped=cuda.is_mapped)


def test_a_lane_that_is_at_work_takes_nothing_else(cuda):
    _, runner = run_of(cuda)
    runner.start(frames(0))
    with pytest.raises(UsageError, match="a stream is running on this estimator"):
        runner.run(frames(100), None)
    np.testing.assert_array_equal(runner.finish()["depth_m"], frames(0)["frame"] / 2)
    assert runner.run(frames(100), None)["depth_m"][0, 0] == 50


def test_close_gives_everything_back(cuda):
    _, runner = run_of(cuda)
    runner.run(frames(0), None)
    runner.close()
    assert (cuda.device, cuda.host, cuda.streams) == ({}, {}, set())
    assert cuda.graphs is None or cuda.graphs.recorded == {}
