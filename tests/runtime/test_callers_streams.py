"""Runs on a caller's CUDA stream: in order with all others, at addresses that the engine takes, and none unnoticed.

Over a stand-in of CUDA whose streams mix up whatever no event puts in order.
"""

import itertools

import numpy as np
import pytest

from mde_runtime import BadInputError, MachineError, UsageError
from mde_runtime.engines.runner import Runner, Tensor

FRAME = Tensor("frame", (2, 4), np.dtype(np.uint8), is_input=True)
DEPTH = Tensor("depth_m", (2, 4), np.dtype(np.float32), is_input=False)
STREAMS = (0, 91, 92)  # the default one, and two that a caller made
OWN = "own"


@pytest.fixture(params=["graph", "eager", "mapped"])
def cuda(request, numpy_cuda):
    made = numpy_cuda(has_graphs=request.param != "eager")
    made.is_mapped = request.param == "mapped"
    return made


@pytest.fixture
def engine(cuda, half_of):
    return half_of(cuda)


@pytest.fixture
def runner(cuda, engine):
    opened = Runner(cuda, (FRAME, DEPTH), engine.bind, engine.enqueue, is_mapped=cuda.is_mapped)
    yield opened
    opened.close()


class OnDevice:
    """A frame and room for its depth, in device memory."""

    def __init__(self, cuda, value):
        self.value = value
        self.frame, self.depth = (cuda.new_host((8,), dtype, is_mapped=True) for dtype in (np.uint8, np.float32))
        self.frame[:] = value

    @property
    def pointers(self):
        return {"frame": self.frame.ctypes.data, "depth_m": self.depth.ctypes.data}


def host_frame(value):
    return {"frame": np.full((2, 4), value, np.uint8)}


def test_the_stand_in_mixes_up_what_nothing_puts_in_order(cuda, engine):
    many = [OnDevice(cuda, value) for value in (40, 80)]
    with cuda.current():
        for stream, one in zip(STREAMS, many, strict=False):
            for name, pointer in one.pointers.items():
                engine.bind(name, pointer)
            engine.enqueue(stream)
        for stream in STREAMS:
            cuda.wait(stream)
    assert [one.depth[0] for one in many] != [20, 40]


@pytest.mark.parametrize("order", itertools.product((OWN, *STREAMS), repeat=3))
def test_each_run_has_its_own_depth_whichever_streams_they_are_on(cuda, runner, order):
    on_device = []
    for value, stream in zip((40, 80, 120), order, strict=True):
        if stream == OWN:
            np.testing.assert_array_equal(runner.run(host_frame(value), None)["depth_m"], value / 2)
        else:
            on_device.append(OnDevice(cuda, value))
            runner.run_on(stream, on_device[-1].pointers)
    for stream in STREAMS:
        cuda.wait(stream)
    for one in on_device:
        np.testing.assert_array_equal(one.depth, one.value / 2)


def test_the_host_waits_for_nothing(cuda, runner):
    before = cuda.num_waits
    for stream in STREAMS:
        runner.run_on(stream, OnDevice(cuda, 40).pointers)
    assert cuda.num_waits == before


PRODUCER, LONG = 93, 20  # turns of the stand-in that the frame takes to be made


def queue_frame(cuda, one, value):
    """Make a frame on a stream of its own, late."""
    with cuda.current():
        for _ in range(LONG):
            cuda.queue(PRODUCER, lambda: None)
        cuda.queue(PRODUCER, lambda: one.frame.fill(value))


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize(("after", "depth"), [((PRODUCER,), 40), ((), 20)], ids=["told", "not told"])
def test_a_run_waits_for_the_streams_that_it_is_told_of_and_no_other(cuda, runner, stream, after, depth):
    one, before = OnDevice(cuda, 40), cuda.num_waits
    queue_frame(cuda, one, 80)
    runner.run_on(stream, one.pointers, after=after)
    assert cuda.num_waits == before
    cuda.wait(stream)
    np.testing.assert_array_equal(one.depth, depth)
    cuda.wait(PRODUCER)


def test_a_run_on_the_very_stream_that_makes_its_frame_comes_after_it(cuda, runner):
    one = OnDevice(cuda, 40)
    queue_frame(cuda, one, 80)
    runner.run_on(PRODUCER, one.pointers, after=(PRODUCER,))
    cuda.wait(PRODUCER)
    np.testing.assert_array_equal(one.depth, 40)


def test_what_is_queued_on_a_callers_stream_is_done_before_the_memory_goes(cuda, runner):
    one = OnDevice(cuda, 40)
    runner.run_on(91, one.pointers)
    runner.close()  # the stand-in lets nothing go while work is queued
    np.testing.assert_array_equal(one.depth, 20)


def test_while_a_run_is_under_way_a_run_on_a_callers_stream_is_refused(cuda, runner):
    one = OnDevice(cuda, 40)
    runner.start(host_frame(80))
    with pytest.raises(UsageError, match="a stream is running on this estimator; end it first"):
        runner.run_on(91, one.pointers)
    np.testing.assert_array_equal(runner.finish()["depth_m"], 40)
    runner.run_on(91, one.pointers)
    cuda.wait(91)
    np.testing.assert_array_equal(one.depth, 20)


@pytest.mark.parametrize("name", ["frame", "depth_m"])
def test_an_address_that_the_engine_cannot_take_is_refused_and_nothing_is_written(cuda, runner, name):
    one = OnDevice(cuda, 40)
    pointers = {**one.pointers, name: one.pointers[name] + 64}
    with pytest.raises(BadInputError, match=rf"{name} is at 0x\w+, and the engine takes multiples of 256 bytes; pass"):
        runner.run_on(91, pointers)
    cuda.wait(91)
    assert not one.depth.any()
    np.testing.assert_array_equal(runner.run(host_frame(80), None)["depth_m"], 40)


@pytest.mark.parametrize("refused", ["frame", "depth_m"])
def test_an_engine_that_refuses_an_address_is_an_error_and_runs_nowhere(cuda, engine, runner, refused):
    one, own = OnDevice(cuda, 40), dict(engine.addresses)
    engine.refuses = lambda name, pointer: (name, pointer) == (refused, one.pointers[refused])
    with pytest.raises(MachineError, match=rf"rejects the address 0x\w+ of {refused}, .* multiple of 256 bytes"):
        runner.run_on(91, one.pointers)
    cuda.wait(91)
    assert not one.depth.any()
    assert engine.addresses == own
    np.testing.assert_array_equal(runner.run(host_frame(80), None)["depth_m"], 40)


def test_an_engine_that_refuses_the_first_addresses_does_not_open(cuda, engine):
    engine.refuses = lambda name, pointer: name == "frame"  # noqa: ARG005  what it is asked
    with pytest.raises(MachineError, match="rejects the address"):
        Runner(cuda, (FRAME, DEPTH), engine.bind, engine.enqueue, is_mapped=cuda.is_mapped)
    assert cuda.held == 0


def test_an_engine_that_refuses_to_run_leaves_the_streams_in_order(cuda, engine, runner):
    one = OnDevice(cuda, 40)
    engine.works = False
    with pytest.raises(MachineError, match="failed to run"):
        runner.run_on(91, one.pointers)
    engine.works = True
    runner.run_on(92, OnDevice(cuda, 120).pointers)
    np.testing.assert_array_equal(runner.run(host_frame(80), None)["depth_m"], 40)
