import signal
import subprocess
import sys
import traceback
import types

import onnx.parser
import pytest

from mde_runtime import MachineError, UsageError
from mde_runtime.engines.build import BuildOptions, build_engine
from mde_runtime.engines.build_log import BuildLog

rtx = pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX has no package for this platform")


def test_an_engine_is_built_without_a_gpu(tiny_graph):
    assert build_engine(tiny_graph(), "tensorrt-rtx")[:4] == b"vtrt"  # how its engines begin


def test_an_engine_for_named_gpus_is_built(tiny_graph):
    assert build_engine(tiny_graph(), "tensorrt-rtx", BuildOptions(compute_capabilities=("8.6", "8.9")))


def test_an_engine_with_marked_outputs_is_built_without_a_gpu(tiny_graph):
    plain, marked = (
        build_engine(tiny_graph(), "tensorrt-rtx", BuildOptions(marked_outputs=is_marked))
        for is_marked in (False, True)
    )
    assert b"marked: " in marked  # the name of an output that the graph does not have
    assert b"marked: " not in plain


def test_the_builders_steps_are_told(tiny_graph):
    steps = []
    build_engine(tiny_graph(), "tensorrt-rtx", advance=lambda: steps.append(1))
    assert steps


def test_the_log_and_the_timings_are_kept(tiny_graph, tmp_path):
    build_engine(tiny_graph(), "tensorrt-rtx", timing_cache=tmp_path / "timings", log_file=tmp_path / "build.log")
    assert "Engine generation completed" in (tmp_path / "build.log").read_text()
    assert (tmp_path / "timings").stat().st_size > 0


class Passing:
    """Passes everything on to an object of the library."""

    def __init__(self, real):
        self.__dict__["real"] = real

    def __getattr__(self, name):
        return getattr(self.real, name)

    def __setattr__(self, name, value):
        setattr(self.real, name, value)


class PickyConfig(Passing):
    """TensorRT's answers for timings: None for bytes that are none, False for those of another device."""

    def create_timing_cache(self, content):
        return None if content == b"damaged" else (content, self.real.create_timing_cache(b""))

    def set_timing_cache(self, timings, ignore_mismatch):
        content, real = timings
        return content != b"foreign" and self.real.set_timing_cache(real, ignore_mismatch)


class PickyBuilder(Passing):
    def create_builder_config(self):
        return PickyConfig(self.real.create_builder_config())

    def build_serialized_network(self, network, config):
        return self.real.build_serialized_network(network, config.real)


@pytest.mark.parametrize("content", [b"damaged", b"foreign"])
def test_timings_that_the_library_refuses_cost_nothing(tiny_graph, tmp_path, monkeypatch, content):
    picky = types.SimpleNamespace(**vars(rtx))
    picky.Builder = lambda logger: PickyBuilder(rtx.Builder(logger))
    monkeypatch.setitem(sys.modules, "tensorrt", picky)
    (tmp_path / "timings").write_bytes(content)
    assert build_engine(tiny_graph(), "tensorrt", timing_cache=tmp_path / "timings")
    assert (tmp_path / "timings").read_bytes() != content


def test_a_folder_in_place_of_the_timings_costs_no_engine(tiny_graph, tmp_path):
    (tmp_path / "timings" / "held").mkdir(parents=True)
    assert build_engine(tiny_graph(), "tensorrt-rtx", timing_cache=tmp_path / "timings")


def test_a_log_keeps_its_last_entries_where_a_service_would_fill_it():
    log, whole = BuildLog(rtx, most=2), BuildLog(rtx)
    for number in range(5):
        for logger in (log.logger, whole.logger):
            logger.log(rtx.ILogger.Severity.WARNING, f"number {number}")
    assert log.text == "WARNING: number 3\nWARNING: number 4\n"
    assert len(whole.text.splitlines()) == 5


def test_ctrl_c_ends_a_build(tiny_graph):
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_engine(tiny_graph(), "tensorrt-rtx", advance=interrupt)


def test_whatever_a_step_raises_ends_a_build_and_is_raised(tiny_graph):
    steps = []

    def fail() -> None:
        steps.append(1)
        raise OSError("the terminal is gone")

    with pytest.raises(OSError, match="the terminal is gone"):
        build_engine(tiny_graph(), "tensorrt-rtx", advance=fail)
    assert len(steps) < 5  # it did not go on


# Python's signal handlers run between any two bytecodes: here in each callback of the library, at its first line.
INTERRUPTING = """
import pathlib, signal, sys
from mde_runtime.engines import build_log
from mde_runtime.engines.build import build_engine
def interrupt(frame, event, argument):
    name = frame.f_code.co_name
    if event == "call" and frame.f_code.co_filename == build_log.__file__ and name == sys.argv[1]:
        sys.setprofile(None)
        signal.raise_signal(signal.SIGINT)
sys.setprofile(interrupt)
try:
    build_engine(pathlib.Path(sys.argv[2]).read_bytes(), "tensorrt-rtx")
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize("callback", ["log", "phase_start", "phase_finish", "step_complete"])
def test_ctrl_c_in_any_callback_ends_a_build(tiny_graph, tmp_path, callback):
    (tmp_path / "tiny.onnx").write_bytes(tiny_graph())
    arguments = [callback, tmp_path / "tiny.onnx"]
    ended = subprocess.run(
        [sys.executable, "-c", INTERRUPTING, *arguments], capture_output=True, text=True, check=False
    )
    assert (ended.stdout, ended.returncode) == ("interrupted\n", 0), ended.stderr


def test_ctrl_c_is_what_it_was_after_a_build(tiny_graph):
    before = signal.getsignal(signal.SIGINT)
    build_engine(tiny_graph(), "tensorrt-rtx")
    assert signal.getsignal(signal.SIGINT) is before


def test_a_graph_that_the_parser_refuses_is_one_line_with_node_and_cause(tmp_path):
    transpose_of_bytes = onnx.parser.parse_model("""
        <ir_version: 10, opset_import: ["": 20]>
        early (uint8[1, 4, 6, 3] frame) => (uint8[1, 3, 4, 6] planes)
        { planes = Transpose <perm = [0, 3, 1, 2]> (frame) }""").SerializeToString()
    with pytest.raises(MachineError, match=r"Transpose.*first input has type UInt8") as caught:
        build_engine(transpose_of_bytes, "tensorrt-rtx", log_file=tmp_path / "build.log")
    assert "\n" not in str(caught.value)
    assert "driver" not in str(caught.value)  # true of this machine, and not the cause
    assert "UInt8" in (tmp_path / "build.log").read_text()


def test_a_graph_that_cannot_be_built_is_one_line_with_the_cause():
    open_height = onnx.parser.parse_model("""
        <ir_version: 10, opset_import: ["": 20]>
        open (float[1, H] x) => (float[1, H] y) { y = Relu (x) }""").SerializeToString()
    with pytest.raises(MachineError, match=r"input x has shape \(1, -1\): only N may be dynamic"):
        build_engine(open_height, "tensorrt-rtx")


def test_no_graph_at_all_is_refused():
    with pytest.raises(MachineError, match="Failed to parse the ONNX model"):
        build_engine(b"no graph", "tensorrt-rtx")


def test_an_error_keeps_no_builder_alive():  # one that dies inside the next build's log waits for itself for ever
    with pytest.raises(MachineError) as caught:
        build_engine(b"no graph", "tensorrt-rtx")
    frames = [frame for frame, _ in traceback.walk_tb(caught.value.__traceback__)]
    assert "_build" in [frame.f_code.co_name for frame in frames]
    assert not any({"builder", "network", "parser"} & frame.f_locals.keys() for frame in frames)


def test_a_gpu_that_the_library_does_not_know_is_refused_with_those_it_knows(tiny_graph):
    with pytest.raises(UsageError, match=r"no compute capability '8.7' in this tensorrt-rtx; it has 7\.5, 8\.0"):
        build_engine(tiny_graph(), "tensorrt-rtx", BuildOptions(compute_capabilities=("8.7",)))


@pytest.mark.parametrize("capability", ["8..6", "86", "8.6.", ".8.6", "nan", ""])
def test_a_capability_with_a_slip_is_not_taken_for_another(tiny_graph, capability):
    with pytest.raises(UsageError, match="no compute capability"):
        build_engine(tiny_graph(), "tensorrt-rtx", BuildOptions(compute_capabilities=(capability,)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"batch": (0, 1, 1)},
        {"batch": (1, 4, 2)},
        {"optimization_level": 6},
        {"workspace_mib": -1},
        {"workspace_mib": 1 << 44},
    ],
)
def test_options_that_contradict_themselves_cannot_be_made(wrong):
    with pytest.raises(UsageError):
        BuildOptions(**wrong)


def test_a_missing_library_is_an_error_with_the_remedy(tiny_graph, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(MachineError, match="on Jetson create the environment with --system-site-packages"):
        build_engine(tiny_graph(), "tensorrt")
