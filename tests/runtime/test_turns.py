"""One estimator and several askers: threads take turns, a stream keeps its lanes to itself, and closing waits."""

import threading

import numpy as np
import pytest

from mde_runtime import DepthEstimator, MachineError, UsageError
from mde_runtime.backends import open_session

FLOAT32_STEP_AT_20_M = 4e-6
TAKEN = "a stream is running on this estimator; end it first, or open another estimator"
CLOSED = "this estimator is closed; open the bundle again"


class Session:
    """A session that notices when two ask at once. Depth is the frame's first value."""

    executor, device, max_batch, arithmetic = "made for tests", "none", 1, {"fp32": "fp32"}

    def __init__(self):
        self.is_busy, self.is_open = threading.Lock(), True
        self.has_begun, self.may_end = threading.Event(), threading.Event()
        self.may_end.set()

    def run(self, feeds, out=None):  # noqa: ARG002  the seam
        assert self.is_busy.acquire(blocking=False), "two runs at once"
        value = feeds["frame"].flat[0]
        self.has_begun.set()
        assert self.may_end.wait(10)
        assert self.is_open, "closed under a run"
        self.is_busy.release()
        return {"depth_m": np.full((1, 24, 32), value, np.float32), "num_nonfinite": np.zeros(1, np.int32)}

    def close(self):
        self.is_open = False


class Lane:
    def __init__(self, session):
        self.session, self.value = session, None

    def start(self, feeds):
        assert self.value is None, "it is at work"
        self.value = feeds["frame"].flat[0]

    def finish(self):
        assert self.session.is_open, "finished after it was closed"
        value, self.value = self.value, None
        return {"depth_m": np.full((1, 24, 32), value, np.float32), "num_nonfinite": np.zeros(1, np.int32)}

    def drop(self):
        self.value = None


class SessionWithLanes(Session):
    """Two runs at once, each in a lane of its own."""

    def __init__(self):
        super().__init__()
        self.made = [Lane(self), Lane(self)]

    def lanes(self):
        return self.made


@pytest.fixture
def estimator_of(tiny_bundle):
    """A function that opens the tiny bundle over a session."""
    with DepthEstimator.open(tiny_bundle, "onnxruntime-cpu") as opened:
        return lambda session: DepthEstimator(session, opened.contract, opened.choice)


def frame(value):
    return np.full((24, 32, 3), value, np.uint8)


def in_threads(*works):
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)


def test_threads_that_share_an_estimator_take_turns(estimator_of):
    estimate, wrong = estimator_of(Session()), []

    def work(value):
        wrong.extend(value for _ in range(50) if estimate(frame(value))[0, 0] != value)
        wrong.extend(value for depth_m in estimate.stream([frame(value)] * 50) if depth_m[0, 0] != value)

    in_threads(*(lambda value=value: work(value) for value in (1, 2, 3)))
    assert wrong == []


@pytest.mark.parametrize("backend", ["onnxruntime-cpu", "openvino", "openvino-throughput"])
def test_threads_that_share_an_estimator_each_get_their_own_depth(
    estimator_of, tiny_graph, tiny_frames, tiny_depth, backend
):
    try:
        session = open_session(backend, tiny_graph(), num_threads=1)
    except MachineError as error:
        pytest.skip(str(error))
    estimate, wrong = estimator_of(session), []

    def work(index):
        bgr, expected = np.ascontiguousarray(tiny_frames[index][..., ::-1]), tiny_depth(tiny_frames[index])
        # In another order of colours, for which all share one buffer.
        off_m = (np.abs(estimate(bgr, color="bgr") - expected).max() for _ in range(50))
        wrong.extend(index for off in off_m if off > FLOAT32_STEP_AT_20_M)

    in_threads(*(lambda index=index: work(index) for index in range(4)))
    estimate.close()
    assert wrong == []


def test_closing_waits_for_the_run_of_another_thread(estimator_of):
    session = Session()
    estimate, found = estimator_of(session), []
    session.may_end.clear()

    def close():
        assert session.has_begun.wait(10)
        threading.Timer(0.05, session.may_end.set).start()  # late enough for a close that does not wait
        estimate.close()

    in_threads(lambda: found.append(estimate(frame(7))[0, 0]), close)
    assert found == [7]
    with pytest.raises(UsageError, match=CLOSED):
        estimate(frame(7))


@pytest.mark.parametrize("make", [Session, SessionWithLanes])
def test_a_stream_of_a_closed_estimator_says_so_and_can_be_left(estimator_of, make):
    estimate = estimator_of(make())
    stream = estimate.stream(frame(value) for value in range(9))
    next(stream)
    estimate.close()
    with pytest.raises(UsageError, match=CLOSED):
        next(stream)
    stream.close()
    estimate.close()


@pytest.mark.parametrize(
    "ask",
    [
        lambda estimate: estimate(frame(1)),
        lambda estimate: estimate.detail(frame(1)),
        lambda estimate: estimate.batch(frame(1)[None]),
        lambda estimate: next(estimate.stream([frame(1)])),
        lambda estimate: estimate.on_device(None, None, 0),
    ],
    ids=["call", "detail", "batch", "stream", "on_device"],
)
def test_while_a_stream_is_in_the_lanes_all_else_is_refused_and_afterwards_not(estimator_of, ask):
    estimate = estimator_of(SessionWithLanes())
    stream = estimate.stream(frame(value) for value in (4, 5, 6))
    assert next(stream)[0, 0] == 4
    with pytest.raises(UsageError, match=TAKEN):
        ask(estimate)
    assert [depth_m[0, 0] for depth_m in stream] == [5, 6]
    assert estimate(frame(1))[0, 0] == 1


def test_a_stream_that_was_left_early_gives_its_lanes_back(estimator_of):
    estimate = estimator_of(SessionWithLanes())
    for _ in estimate.stream(frame(value) for value in range(9)):
        break
    assert [depth_m[0, 0] for depth_m in estimate.stream([frame(2), frame(3)])] == [2, 3]


def test_without_lanes_single_frames_may_come_between_those_of_a_stream(estimator_of):
    estimate = estimator_of(Session())
    stream = estimate.stream([frame(4), frame(5)])
    assert [next(stream)[0, 0], estimate(frame(1))[0, 0], next(stream)[0, 0]] == [4, 1, 5]


@pytest.mark.parametrize("make", [Session, SessionWithLanes])
def test_a_camera_that_fills_one_buffer_again_and_again_is_read_rightly(estimator_of, make):
    buffer = frame(0)

    def camera():
        for value in range(12):
            buffer[:] = value
            yield buffer

    assert [depth_m[0, 0] for depth_m in estimator_of(make()).stream(camera())] == list(range(12))
