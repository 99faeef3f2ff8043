"""Laws of every backend in the table; a new one joins by its table line."""

import functools
import subprocess
import sys

import numpy as np
import onnx.parser
import pytest

from mde_runtime import BadInputError, DepthEstimator, MachineError, UsageError
from mde_runtime.backends import BACKENDS, Graph, open_session
from mde_runtime.cache import cache_dir, take_ignored
from mde_runtime.engines import store
from mde_runtime.engines.build import DEFAULTS, build_engine
from mde_runtime.engines.key import key_for
from mde_runtime.files import sha256_of
from mde_runtime.machine import this_machine

HAS_BFLOAT16 = {"avx512_bf16", "amx_bf16", "bf16"} & set(this_machine().instruction_set)
ENGINES = ("tensorrt", "tensorrt-rtx")
REAL = [
    pytest.param(name, marks=[pytest.mark.gpu] if row.device == "cuda" else [])
    for name, row in BACKENDS.items()
    if row.device != "none" and (name != "openvino-bf16" or HAS_BFLOAT16)
]
FLOAT32_STEP_AT_20_M = 4e-6
TOLERANCES_M = {"openvino-bf16": 0.12}  # 8 bits of mantissa at 20 m, and half of that once more for the sum before


@functools.cache
def engine_of(graph: bytes, flavour: str) -> bytes:
    """Built once: every test has a cache of its own."""
    return build_engine(graph, flavour)


@pytest.fixture(params=REAL)
def backend(request, tiny_graph):
    """A backend that this machine has, with an engine of the tiny graph where it takes one."""
    try:
        if BACKENDS[request.param].variant in ENGINES:
            key = key_for(sha256_of(tiny_graph()), request.param, DEFAULTS)
            store.put(key, engine_of(tiny_graph(), request.param), 0.1)
        open_session(request.param, tiny_graph()).close()
    except MachineError as error:
        pytest.skip(str(error))
    return request.param


@pytest.fixture
def session(backend, tiny_graph):
    opened = open_session(backend, tiny_graph(), num_threads=1)
    yield opened
    opened.close()


def test_the_graphs_outputs_come_back_by_name(backend, session, tiny_frames, tiny_depth):
    answer = session.run({"frame": tiny_frames[:1]})
    assert {name: (array.dtype.name, array.shape) for name, array in answer.items()} == {
        "depth_m": ("float32", (1, 24, 32)),
        "num_nonfinite": ("int32", (1,)),
    }
    np.testing.assert_allclose(
        answer["depth_m"], tiny_depth(tiny_frames[:1]), atol=TOLERANCES_M.get(backend, FLOAT32_STEP_AT_20_M)
    )


def test_results_belong_to_the_caller(session, tiny_frames):
    first = session.run({"frame": tiny_frames[:1]})["depth_m"]
    kept = first.copy()
    session.run({"frame": tiny_frames[1:2]})
    np.testing.assert_array_equal(first, kept)


def test_what_was_written_to_the_callers_arrays_stays_there(session, tiny_frames):
    out = {"depth_m": np.empty((1, 24, 32), np.float32), "num_nonfinite": np.empty(1, np.int32)}
    session.run({"frame": tiny_frames[:1]}, out)
    kept = out["depth_m"].copy()
    plain = session.run({"frame": tiny_frames[1:2]})["depth_m"]
    np.testing.assert_array_equal(out["depth_m"], kept)
    assert not np.array_equal(plain, kept)


def test_a_frame_that_cannot_be_written_to_is_read_all_the_same(session, tiny_frames):
    frame = tiny_frames[:1].copy()
    frame.flags.writeable = False
    assert session.run({"frame": frame})["depth_m"].shape == (1, 24, 32)


def test_a_session_outlives_the_bytes_of_its_graph(backend, tiny_graph, tiny_frames, tiny_depth):
    graph = bytearray(tiny_graph())
    session = open_session(backend, bytes(graph))
    graph[:] = b"\0" * len(graph)
    depth_m = session.run({"frame": tiny_frames[:1]})["depth_m"]
    np.testing.assert_allclose(
        depth_m, tiny_depth(tiny_frames[:1]), atol=TOLERANCES_M.get(backend, FLOAT32_STEP_AT_20_M)
    )
    session.close()


def test_a_session_says_what_it_is(session):
    assert session.executor
    assert session.device
    assert set(session.arithmetic) == {"fp32", "fp16", "int8"}


def test_closing_twice_is_harmless(backend, tiny_graph):
    session = open_session(backend, tiny_graph())
    session.close()
    session.close()


@pytest.mark.parametrize("graph", [b"", b"no graph"])
def test_bytes_that_are_no_graph_are_one_line(backend, graph):
    takes_engines = BACKENDS[backend].variant in ENGINES  # none can be found of what is no graph
    refusal, words = (
        (MachineError, "no engine for this graph") if takes_engines else (BadInputError, "rejects the graph")
    )
    with pytest.raises(refusal, match=words) as caught:
        open_session(backend, graph)
    assert "\n" not in str(caught.value)


def test_a_graph_that_takes_no_frame_is_one_line(backend, tiny_frames):
    if BACKENDS[backend].variant in ENGINES:
        pytest.skip("an engine is built from a graph, and of this one none can be")
    text = """<ir_version: 10, opset_import: ["": 20]>
        constant () => (float[1] depth_m) { depth_m = Constant <value_floats = [1.0]> () }"""
    with pytest.raises(BadInputError, match=r"; (export|feed|check) "):
        open_session(backend, onnx.parser.parse_model(text).SerializeToString()).run({"frame": tiny_frames[:1]})


@pytest.mark.parametrize("feeds", [{"image": (1, 24, 32, 3)}, {"frame": (1, 24, 31, 3)}])
def test_a_feed_that_the_graph_does_not_take_is_one_line(session, feeds):
    with pytest.raises(BadInputError, match="cannot run the graph") as caught:
        session.run({name: np.zeros(shape, np.uint8) for name, shape in feeds.items()})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("num_threads", [0, -1])
def test_no_thread_at_all_is_wrong_usage(tiny_graph, num_threads):
    with pytest.raises(UsageError, match="is not a number of threads"):
        open_session("null", tiny_graph(), num_threads=num_threads)


def test_a_half_graph_on_a_cpu_says_what_it_is_computed_in(tiny_graph):
    session = open_session("onnxruntime-cpu", tiny_graph("FLOAT16"))
    assert session.arithmetic["fp16"] != "fp16"
    assert session.arithmetic["fp16"] in session.executor


class TestOpenVino:
    @pytest.fixture(autouse=True)
    def _installed(self):
        pytest.importorskip("openvino", reason="an extra")

    def blobs(self):
        return list(cache_dir().glob("openvino/*.blob"))

    def test_the_precision_asked_for_is_the_one_compiled(self, tiny_graph):
        assert open_session("openvino", tiny_graph()).arithmetic["fp32"] == "fp32"

    def test_ctrl_c_can_be_caught_when_sessions_were_closed_in_the_order_of_their_opening(self, tiny_graph, tmp_path):
        (tmp_path / "graph.onnx").write_bytes(tiny_graph())
        code = """
import pathlib, signal, sys
from mde_runtime.backends import open_session
graph = pathlib.Path(sys.argv[1]).read_bytes()
first, second = (open_session("openvino", graph) for _ in range(2))
first.close()
second.close()
del first, second
signal.signal(signal.SIGINT, lambda *_: print("caught"))
signal.raise_signal(signal.SIGINT)
"""
        command = [sys.executable, "-c", code, str(tmp_path / "graph.onnx")]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (ended.returncode, ended.stdout) == (0, "caught\n"), ended.stderr

    def test_bfloat16_is_real_or_refused(self, tiny_graph):
        try:
            session = open_session("openvino-bf16", tiny_graph())
        except MachineError as error:
            assert "no bfloat16" in str(error)  # noqa: PT017  either is right, by the chip
        else:
            assert session.arithmetic["fp32"] == "bf16"

    def test_a_kept_model_that_cannot_be_imported_is_compiled_and_kept_anew(self, tiny_graph, tiny_frames, monkeypatch):
        import openvino

        def refuse(*_: object) -> None:
            raise RuntimeError("made by another build")

        first = open_session("openvino", tiny_graph()).run({"frame": tiny_frames[:1]})["depth_m"]
        (blob,) = self.blobs()
        written = blob.stat().st_ino
        monkeypatch.setattr(openvino.Core, "import_model", refuse)
        again = open_session("openvino", tiny_graph()).run({"frame": tiny_frames[:1]})["depth_m"]
        np.testing.assert_array_equal(again, first)
        (blob,) = self.blobs()
        assert blob.stat().st_ino != written
        (line,) = (line for line in take_ignored() if str(blob) in line)
        assert line.startswith(
            f"{blob}: openvino cannot import it (made by another build); ignored, and will be rebuilt"
        )

    def test_the_compiled_model_is_kept_and_gives_the_same_depth(self, tiny_graph, tiny_frames):
        first = open_session("openvino", tiny_graph()).run({"frame": tiny_frames[:1]})["depth_m"]
        (blob,) = self.blobs()
        written = blob.stat().st_ino
        second = open_session("openvino", tiny_graph()).run({"frame": tiny_frames[:1]})["depth_m"]
        assert blob.stat().st_ino == written
        np.testing.assert_array_equal(first, second)

    @pytest.mark.parametrize(
        "damage", [lambda content: content[: len(content) // 2], lambda content: content[:-1] + b"X"]
    )
    def test_a_damaged_compiled_model_is_made_anew(self, tiny_graph, tiny_frames, tiny_depth, damage):
        open_session("openvino", tiny_graph()).close()
        (blob,) = self.blobs()
        blob.write_bytes(damage(blob.read_bytes()))
        depth_m = open_session("openvino", tiny_graph()).run({"frame": tiny_frames[:1]})["depth_m"]
        np.testing.assert_allclose(depth_m, tiny_depth(tiny_frames[:1]), atol=FLOAT32_STEP_AT_20_M)

    def test_a_bundle_that_was_altered_is_refused_though_its_compiled_model_is_kept(self, tiny_bundle):
        DepthEstimator.open(tiny_bundle, "openvino", "fp32").close()
        content = tiny_bundle.read_bytes()
        at = content.rindex(b"ReduceMean")  # inside the FP32 graph
        tiny_bundle.write_bytes(content[:at] + b"X" + content[at + 1 :])
        with pytest.raises(BadInputError, match=r"graphs/fp32\.onnx .*; copy the bundle again"):
            DepthEstimator.open(tiny_bundle, "openvino", "fp32")

    def test_models_that_differ_in_weights_alone_share_nothing(self, tiny_graph, tiny_frames):
        near, far = (open_session("openvino", tiny_graph(offset_m=offset)) for offset in (0.0, 1.0))
        assert len(self.blobs()) == 2
        step = far.run({"frame": tiny_frames[:1]})["depth_m"] - near.run({"frame": tiny_frames[:1]})["depth_m"]
        np.testing.assert_allclose(step.mean(), 1, atol=0.05)  # a few pixels are clipped at 20 m

    def test_for_throughput_several_frames_are_in_work_and_come_back_in_order(
        self, tiny_bundle, tiny_frames, tiny_depth
    ):
        with DepthEstimator.open(tiny_bundle, "openvino-throughput", "fp32") as estimate:
            assert "frames at once" in estimate.choice.verification.executor
            many = np.concatenate([tiny_frames, tiny_frames[::-1]])
            for found in (estimate.batch(many), np.stack(list(estimate.stream(many)))):
                np.testing.assert_allclose(found, tiny_depth(many), atol=FLOAT32_STEP_AT_20_M)

    def test_a_camera_may_use_its_buffer_again_while_a_frame_is_in_work(self, tiny_graph, tiny_frames, tiny_depth):
        session = open_session("openvino-throughput", tiny_graph())
        buffer = tiny_frames[:1].copy()
        lane = session.lanes()[0]
        lane.start({"frame": buffer})
        buffer[:] = 0
        np.testing.assert_allclose(lane.finish()["depth_m"], tiny_depth(tiny_frames[:1]), atol=FLOAT32_STEP_AT_20_M)


def test_what_is_made_for_throughput_is_never_chosen_by_itself(tiny_bundle, monkeypatch):
    monkeypatch.setattr("mde_runtime.choice.BACKENDS", {"openvino-throughput": BACKENDS["openvino-throughput"]})
    with pytest.raises(MachineError, match="nothing verified runs it"):
        DepthEstimator.open(tiny_bundle)


def test_a_graph_is_read_once_and_only_where_it_is_needed():
    reads = []

    def read() -> bytes:
        reads.append(1)
        return b"no graph"

    graph = Graph("0" * 64, read)
    with pytest.raises(MachineError):
        open_session("tensorrt", graph)
    graph.raise_if_unreadable()
    assert reads == []
    for _ in range(2):
        with pytest.raises(BadInputError, match="rejects the graph"):
            open_session("onnxruntime-cpu", graph)
    assert reads == [1]


def test_a_graph_that_cannot_be_read_says_so_to_whoever_asks():
    def read() -> bytes:
        raise BadInputError("altered; copy it again")

    graph = Graph("0" * 64, read)
    graph.read_ahead()
    for ask in (graph.content, graph.raise_if_unreadable):
        with pytest.raises(BadInputError, match="altered"):
            ask()
