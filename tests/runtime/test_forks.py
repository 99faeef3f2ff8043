"""An estimator in a process that was forked after it was opened: refused by name, whatever the parent was doing."""

import multiprocessing
import os
import signal
import threading
import time

import numpy as np
import pytest

from mde_runtime import DepthEstimator, MachineError

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),  # Python 3.12 warns of threads, which is our point
]
REFUSAL = "UsageError: this estimator was opened before this process was forked"
FRAME = np.full((24, 32, 3), 100, np.uint8)
ASKS = {
    "call": lambda estimate: estimate(FRAME),
    "detail": lambda estimate: estimate.detail(FRAME),
    "batch": lambda estimate: estimate.batch(FRAME[None]),
    "stream": lambda estimate: list(estimate.stream([FRAME])),
    "on_device": lambda estimate: estimate.on_device(None, None, 0),
    "close": lambda estimate: estimate.close(),
}


def answer_of_child(work) -> str:
    """What `work` raises in a forked process, or `none`; fails where the child hangs."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            work()
            text = "none"
        except BaseException as error:  # noqa: BLE001  it is what is asked for
            text = f"{type(error).__name__}: {error}"
        os.write(writing, text.encode())
        os._exit(0)
    os.close(writing)
    limit_s = time.monotonic() + 20
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if time.monotonic() > limit_s:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            pytest.fail("the child hangs")
        time.sleep(0.01)
    with os.fdopen(reading) as said:
        return said.read()


@pytest.fixture(params=["onnxruntime-cpu", "openvino", "openvino-throughput"])
def estimate(request, tiny_bundle):
    try:
        opened = DepthEstimator.open(tiny_bundle, request.param, num_threads=1)
    except MachineError as error:
        pytest.skip(str(error))
    with opened:
        yield opened


def test_a_forked_process_is_refused_by_name_and_may_close(estimate):
    depth_m = estimate(FRAME)
    for name, ask in ASKS.items():
        answer = answer_of_child(lambda ask=ask: ask(estimate))
        assert answer.startswith("none" if name == "close" else REFUSAL), (name, answer)
    assert np.array_equal(estimate(FRAME), depth_m), "the parent's goes on"


def test_a_process_forked_in_the_middle_of_a_stream_is_refused_and_may_leave_it(estimate):
    stream = estimate.stream([FRAME] * 9)
    next(stream)
    assert answer_of_child(lambda: next(stream)).startswith(REFUSAL)
    assert answer_of_child(stream.close) == "none"
    assert len(list(stream)) == 8, "the parent's goes on"


def test_a_process_forked_while_another_thread_has_its_turn_is_refused(estimate):
    is_over = threading.Event()

    def work():
        while not is_over.is_set():
            estimate(FRAME)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        answers = [answer_of_child(lambda: estimate(FRAME)) for _ in range(10)]
    finally:
        is_over.set()
        thread.join()
    assert all(answer.startswith(REFUSAL) for answer in answers), answers


def test_a_forked_process_opens_its_own(tiny_bundle):
    def work():
        with DepthEstimator.open(tiny_bundle, "onnxruntime-cpu", num_threads=1) as own:
            own(FRAME)

    with DepthEstimator.open(tiny_bundle, "onnxruntime-cpu", num_threads=1):
        assert answer_of_child(work) == "none"


def test_a_worker_of_multiprocessing_that_was_forked_ends_with_the_refusal(estimate, capfd):
    # Which ends by os._exit: libraries of backends abort or hang in a forked process that ends by exit.
    worker = multiprocessing.get_context("fork").Process(target=estimate, args=(FRAME,))
    worker.start()
    worker.join(20)
    worker.kill()
    assert worker.exitcode == 1
    assert REFUSAL in capfd.readouterr().err
