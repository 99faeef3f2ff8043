"""The logic above CUDA, over a stand-in whose device memory is numpy arrays."""

import numpy as np
import pytest

from mde_runtime import BadInputError, MachineError, UsageError
from mde_runtime.engines.runner import Runner, Tensor

FRAME = Tensor("frame", (2, 4), np.dtype(np.uint8), is_input=True)
DEPTH = Tensor("depth_m", (2, 4), np.dtype(np.float32), is_input=False)


@pytest.fixture(params=["graph", "eager", "mapped"])
def cuda(request, numpy_cuda):
    made = numpy_cuda(has_graphs=request.param != "eager")
    made.is_mapped = request.param == "mapped"
    return made


@pytest.fixture
def run_of(half_of):
    """A function that gives an engine and its runner."""

    def opened(cuda):
        engine = half_of(cuda)
        return engine, Runner(cuda, (FRAME, DEPTH), engine.bind, engine.enqueue, is_mapped=cuda.is_mapped)

    return opened


def frames(start):
    return {"frame": np.arange(start, start + 8, dtype=np.uint8).reshape(2, 4)}


def test_every_run_gives_its_own_answer(cuda, run_of):
    _, runner = run_of(cuda)
    for start in (0, 100, 7):
        np.testing.assert_array_equal(runner.run(frames(start), None)["depth_m"], frames(start)["frame"] / 2)


def test_results_belong_to_the_caller(cuda, run_of):
    _, runner = run_of(cuda)
    first = runner.run(frames(0), None)["depth_m"]
    runner.run(frames(100), None)
    np.testing.assert_array_equal(first, frames(0)["frame"] / 2)


def test_out_is_written_to(cuda, run_of):
    _, runner = run_of(cuda)
    out = np.empty((2, 4), np.float32)
    assert runner.run(frames(3), {"depth_m": out})["depth_m"] is out
    np.testing.assert_array_equal(out, frames(3)["frame"] / 2)


def test_fewer_frames_than_the_batch_come_back_alone(cuda, run_of):
    _, runner = run_of(cuda)
    answer = runner.run({"frame": np.full((1, 4), 8, np.uint8)}, None)["depth_m"]
    np.testing.assert_array_equal(answer, np.full((1, 4), 4))


@pytest.mark.parametrize(
    "frame", [np.zeros((3, 4), np.uint8), np.zeros((0, 4), np.uint8), np.zeros((2, 5), np.uint8), np.zeros((2, 4))]
)
def test_a_wrong_feed_is_refused_and_nothing_is_lost(cuda, run_of, frame):
    _, runner = run_of(cuda)
    with pytest.raises(BadInputError, match="the engine cannot run"):
        runner.run({"frame": frame}, None)
    assert runner.run(frames(0), None)["depth_m"].shape == (2, 4)


def test_mapped_memory_is_never_copied(numpy_cuda, run_of):
    cuda = numpy_cuda()
    cuda.is_mapped = True
    _, runner = run_of(cuda)
    runner.run(frames(0), None)
    assert cuda.num_copies == 0


def test_with_graphs_a_frame_is_one_launch(numpy_cuda, run_of):
    cuda = numpy_cuda()
    _, runner = run_of(cuda)
    assert runner.how == "one CUDA graph per frame"
    runner.run(frames(0), None)
    assert cuda.graphs.num_launched == 1


def test_without_graphs_it_runs_eagerly_and_says_so(numpy_cuda, run_of):
    cuda = numpy_cuda(has_graphs=False)
    _, runner = run_of(cuda)
    assert runner.how == "eager: numpy has no graphs"


def test_a_capture_that_fails_leaves_an_eager_runner_that_says_so(numpy_cuda, run_of):
    cuda = numpy_cuda()

    def refuse(stream, work):  # noqa: ARG001  the protocol's
        raise MachineError("operation not permitted when stream is capturing")

    cuda.graphs.capture = refuse
    _, runner = run_of(cuda)
    assert runner.how.startswith("eager: no graph could be captured (operation not permitted")
    np.testing.assert_array_equal(runner.run(frames(1), None)["depth_m"], frames(1)["frame"] / 2)


def test_an_engine_that_refuses_to_run_is_an_error(cuda, half_of):
    engine = half_of(cuda)
    engine.works = False
    with pytest.raises(MachineError, match="failed to run"):
        Runner(cuda, (FRAME, DEPTH), engine.bind, engine.enqueue, is_mapped=cuda.is_mapped)


def test_a_lane_that_is_at_work_takes_nothing_else(cuda, run_of):
    _, runner = run_of(cuda)
    runner.start(frames(0))
    with pytest.raises(UsageError, match="a stream is running on this estimator"):
        runner.run(frames(100), None)
    np.testing.assert_array_equal(runner.finish()["depth_m"], frames(0)["frame"] / 2)
    assert runner.run(frames(100), None)["depth_m"][0, 0] == 50
