"""GPU resources of an opening are given back: by close, by letting go, and by an opening that fails half-way."""

import gc
import types
import weakref

import numpy as np
import pytest

from mde_runtime import MachineError, UsageError
from mde_runtime.backends.tensorrt import EngineSession
from mde_runtime.engines.build import DEFAULTS
from mde_runtime.engines.key import EngineKey, EngineRecord
from mde_runtime.engines.runner import Runner, Tensor

FRAME = Tensor("frame", (2, 4), np.dtype(np.uint8), is_input=True)
DEPTH = Tensor("depth_m", (2, 4), np.dtype(np.float32), is_input=False)
FEED = {"frame": np.full((2, 4), 80, np.uint8)}
KINDS = ("graph", "eager", "mapped")


def cuda_of(numpy_cuda, kind, fails_at=None):
    made = numpy_cuda(has_graphs=kind != "eager", fails_at=fails_at)
    made.is_mapped = kind == "mapped"
    return made


@pytest.fixture(params=KINDS)
def cuda(request, numpy_cuda):
    return cuda_of(numpy_cuda, request.param)


class Context:
    """An engine's context: the stand-in of one that halves."""

    def __init__(self, engine, half):
        self.engine, self.half = engine, half

    def set_tensor_address(self, name, pointer):
        return self.half.bind(name, pointer)

    def execute_async_v3(self, stream):
        return self.half.enqueue(stream)

    def infer_shapes(self):
        return []

    def get_tensor_shape(self, name):  # noqa: ARG002  both have one
        return (2, 4)


class Engine:
    """An engine of TensorRT, as far as a session asks."""

    num_io_tensors = 2

    def __init__(self, library):
        self.library = library

    def create_execution_context(self):
        context = Context(self, self.library.half_of(self.library.cuda))
        self.library.alive.add(context)
        return context

    def get_tensor_name(self, index):
        return ("frame", "depth_m")[index]

    def get_tensor_mode(self, name):
        return name

    def get_tensor_shape(self, name):  # noqa: ARG002  both have one
        return (2, 4)

    def get_tensor_dtype(self, name):
        return np.uint8 if name == "frame" else np.float32

    def create_engine_inspector(self):
        return types.SimpleNamespace(get_engine_information=lambda _: "{}")


class Library:
    """TensorRT over the stand-in of CUDA; `alive` are its engines and contexts that nobody freed."""

    __version__ = "10.3.0"
    TensorIOMode = types.SimpleNamespace(INPUT="frame")
    LayerInformationFormat = types.SimpleNamespace(JSON=0)
    ILogger = object

    def __init__(self, cuda, half_of):
        self.cuda, self.half_of, self.alive = cuda, half_of, weakref.WeakSet()

    def Runtime(self, logger):  # noqa: N802, ARG002  TensorRT's
        return types.SimpleNamespace(deserialize_cuda_engine=self.deserialize)

    def deserialize(self, content):  # noqa: ARG002
        engine = Engine(self)
        self.alive.add(engine)
        return engine

    def nptype(self, dtype):
        return dtype


RECORD = EngineRecord(EngineKey("0" * 64, "tensorrt", "10.3.0", "numpy", "0.0", 1, DEFAULTS), "e" * 64, 1, 0.1, None)


@pytest.fixture
def library(cuda, half_of):
    return Library(cuda, half_of)


@pytest.fixture
def session(cuda, library):
    return EngineSession(cuda, library, b"", RECORD)


@pytest.fixture
def _without_collector():
    """Objects go with their last reference, or not at all."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("_without_collector")
def test_closing_frees_engine_contexts_and_memory_at_once(cuda, library, session):
    first, second = session.lanes()
    del first, second
    assert len(library.alive) == 3
    session.close()
    assert cuda.held == 0
    assert len(library.alive) == 0


@pytest.mark.usefixtures("_without_collector")
def test_a_session_that_is_let_go_frees_all_that_it_made(cuda, library):
    opened = EngineSession(cuda, library, b"", RECORD)
    opened.lanes()
    assert cuda.held > 0
    del opened
    assert cuda.held == 0
    assert len(library.alive) == 0


def test_a_session_runs_until_it_is_closed_and_then_says_so(session):
    np.testing.assert_array_equal(session.run(FEED)["depth_m"], 40)
    session.close()
    for call in (lambda: session.run(FEED), session.lanes, lambda: session.run_on(9, {})):
        with pytest.raises(UsageError, match="this estimator is closed; open the bundle again"):
            call()


@pytest.mark.parametrize("kind", KINDS)
def test_an_opening_that_fails_half_way_gives_back_what_it_had(numpy_cuda, half_of, kind):
    whole = cuda_of(numpy_cuda, kind)
    EngineSession(whole, Library(whole, half_of), b"", RECORD).lanes()
    for fails_at in range(1, whole.num_fallible + 1):
        cuda = cuda_of(numpy_cuda, kind, fails_at)
        library = Library(cuda, half_of)
        try:
            opened = EngineSession(cuda, library, b"", RECORD)
        except MachineError:
            assert cuda.held == 0
            continue
        held = cuda.held
        try:
            opened.lanes()
        except MachineError:  # the second lane's: the first works on
            assert cuda.held == held
        np.testing.assert_array_equal(opened.run(FEED)["depth_m"], 40)  # a graph that fails is no loss
        opened.close()
        assert cuda.held == 0


def test_closing_goes_on_when_something_cannot_be_given_back(cuda, library, session):
    session.lanes()
    cuda.frees_fail = True
    with pytest.raises(MachineError, match="cannot give back"):
        session.close()
    assert cuda.held == 0
    session.close()  # nothing is left
    gc.collect()  # the error's traceback
    assert len(library.alive) == 0


def test_the_first_error_of_closing_is_the_one_that_is_raised(cuda, session):
    failed = []

    def fail_by_number(freed=cuda.freed):
        freed()
        failed.append(len(failed))
        raise MachineError(f"failure {failed[-1]}")

    cuda.freed = fail_by_number
    with pytest.raises(MachineError, match="failure 0"):
        session.close()
    assert len(failed) > 1


def test_what_cannot_be_given_back_does_not_hide_why_opening_failed(cuda, half_of):
    cuda.frees_fail, engine = True, half_of(cuda)
    engine.works = False
    with pytest.raises(MachineError, match="the engine failed to run"):
        Runner(cuda, (FRAME, DEPTH), engine.bind, engine.enqueue, is_mapped=cuda.is_mapped)
    assert cuda.held == 0


@pytest.mark.usefixtures("_without_collector")
def test_a_lane_that_outlives_its_session_holds_no_engine(library, session):
    lanes = session.lanes()
    session.close()
    assert len(lanes) == 2
    assert len(library.alive) == 0


@pytest.mark.usefixtures("_without_collector")
@pytest.mark.parametrize("give_back", [EngineSession.close, None])
def test_engine_and_contexts_go_while_cuda_is_current(cuda, library, give_back):
    session, depths = EngineSession(cuda, library, b"", RECORD), []
    session.lanes()
    for each in library.alive:
        weakref.finalize(each, lambda: depths.append(cuda.depth))
    del each
    if give_back:
        give_back(session)
    del session
    assert len(depths) == 3
    assert all(depths)


def test_after_an_interrupted_run_the_next_one_is_right(cuda, session):
    def interrupt(_):
        raise KeyboardInterrupt

    session.run(FEED)
    cuda.wait, wait = interrupt, cuda.wait
    with pytest.raises(KeyboardInterrupt):
        session.run(FEED)
    cuda.wait = wait
    np.testing.assert_array_equal(session.run({"frame": FEED["frame"] + 20})["depth_m"], 50)


def test_closing_twice_is_harmless(cuda, half_of):
    engine = half_of(cuda)
    runner = Runner(cuda, (FRAME, DEPTH), engine.bind, engine.enqueue, is_mapped=cuda.is_mapped)
    runner.run(FEED, None)
    for _ in range(2):
        runner.close()
        assert cuda.held == 0


def test_closing_waits_for_a_run_that_was_started_and_its_lane_can_be_dropped_afterwards(cuda, session):
    first, second = session.lanes()
    first.start(FEED)
    second.start(FEED)
    session.close()  # the stand-in lets nothing go while work is queued
    assert cuda.held == 0
    for lane in (first, second):
        lane.drop()
        with pytest.raises(UsageError, match="closed"):
            lane.start(FEED)


def test_a_lane_that_was_dropped_takes_the_next_run(session):
    lane = session.lanes()[0]
    lane.start(FEED)
    lane.drop()
    lane.drop()
    np.testing.assert_array_equal(session.run(FEED)["depth_m"], 40)
