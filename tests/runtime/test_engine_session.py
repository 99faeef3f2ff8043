"""Engines on a GPU, from bundle to depth. Not run on a GPU by this project yet."""

import contextlib
import sys
import types

import numpy as np
import pytest

from mde_runtime import DepthEstimator, MachineError
from mde_runtime.backends import open_session
from mde_runtime.cli.bundle import main
from mde_runtime.cli.doctor import main as doctor
from mde_runtime.cuda import DRIVERS, Gpu, open_cuda
from mde_runtime.engines import store
from mde_runtime.engines.build import DEFAULTS, build_engine
from mde_runtime.engines.flavours import MODULES
from mde_runtime.engines.key import EngineKey, key_for
from mde_runtime.files import sha256_of

FLOAT32_STEP_AT_20_M = 4e-6
FLAVOURS = ("tensorrt", "tensorrt-rtx")


@pytest.fixture(params=FLAVOURS)
def flavour(request):
    from mde_runtime.engines.flavours import library_of

    try:
        library_of(request.param)
        open_cuda()
    except MachineError as error:
        pytest.skip(str(error))
    return request.param


def test_an_engine_that_was_never_built_is_an_error_that_names_the_gap(tiny_graph):
    with pytest.raises(MachineError, match=r"tensorrt cannot be loaded|CUDA is not available|no engine for this graph"):
        open_session("tensorrt", tiny_graph())


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_without_a_driver_the_library_is_not_asked_for_a_runtime(tiny_graph, command, monkeypatch, flavour):
    """The lean one gives an object there whose first attribute ends the process."""
    try:
        open_cuda()
    except MachineError:
        deadly = types.SimpleNamespace(__version__="11.4.0", Runtime=lambda _: pytest.fail("asked for a runtime"))
        monkeypatch.setitem(sys.modules, MODULES[flavour], deadly)
        store.put(EngineKey(sha256_of(tiny_graph()), flavour, "11.4.0", "", "", 0, DEFAULTS), b"an engine", 0.1)
        with pytest.raises(MachineError, match="CUDA is not available"):
            open_session(flavour, tiny_graph())
        assert command(doctor, "--json").exit_code == 0
    else:
        pytest.skip("this machine has a driver")


class DescribedGpu:
    """CUDA that can say which GPU it has, which is as far as it comes here."""

    name = "described"

    def current(self):
        return contextlib.nullcontext()

    def gpu(self):
        return Gpu("H200", "9.0", 132, 1 << 37, False, 13000)


@pytest.mark.parametrize("is_cut", [False, True])
def test_an_engine_that_the_library_refuses_is_one_line_with_its_reason(tiny_graph, is_cut):
    library = pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX has no package for this platform")
    from mde_runtime.backends.tensorrt import EngineSession

    key = key_for(sha256_of(tiny_graph()), "tensorrt-rtx", DEFAULTS)
    engine = build_engine(tiny_graph(), "tensorrt-rtx")
    record = store.put(key, engine[: len(engine) // 2] if is_cut else engine, 0.1)
    content, _ = store.find(key)
    try:
        open_cuda()
    except MachineError:  # without a driver even a sound engine is refused
        with pytest.raises(MachineError, match=r"tensorrt-rtx .* rejects the engine \(.+\); build it again") as caught:
            EngineSession(DescribedGpu(), library, content, record)
        assert "\n" not in str(caught.value)
    else:
        pytest.skip("this machine has a driver")


@pytest.fixture
def described_gpu(monkeypatch):
    """A CUDA that has a GPU by its own word alone; the library of engines knows better."""
    try:
        open_cuda()
    except MachineError:
        monkeypatch.setitem(sys.modules, "described_gpu", types.SimpleNamespace(open=DescribedGpu))
        monkeypatch.setitem(DRIVERS, "described", "described_gpu")
    else:
        pytest.skip("this machine has a driver")


@pytest.mark.parametrize(("options", "exit_code"), [((), 4), (("--compute-capability", "8.6"), 0)])
@pytest.mark.usefixtures("described_gpu")
def test_an_engine_that_the_gpu_it_is_for_does_not_run_is_a_failure(command, tiny_bundle, tmp_path, options, exit_code):
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX has no package for this platform")
    ended = command(main, "engine", tiny_bundle, "--flavour", "tensorrt-rtx", "--save", tmp_path / "x.engine", *options)
    assert ended.exit_code == exit_code, ended.stderr
    assert (tmp_path / "x.engine").exists(), "it may be for another machine"
    assert "rejects the engine" in ended.stderr
    assert ("not verified here" in ended.stderr) == (exit_code == 0)


@pytest.mark.gpu
def test_an_engine_is_built_verified_and_gives_the_depth(command, tiny_bundle, tiny_frames, tiny_depth, flavour):
    ended = command(main, "engine", tiny_bundle, "--flavour", flavour, "--precision", "fp32")
    assert ended.exit_code == 0, ended.stderr
    assert "worst RMSE" in ended.stdout
    with DepthEstimator.open(tiny_bundle, backend=flavour, precision="fp32") as estimate:
        np.testing.assert_allclose(estimate(tiny_frames[0]), tiny_depth(tiny_frames[0]), atol=FLOAT32_STEP_AT_20_M)


@pytest.mark.gpu
def test_a_stream_on_the_gpu_gives_each_frames_depth(command, tiny_bundle, tiny_frames, tiny_depth, flavour):
    command(main, "engine", tiny_bundle, "--flavour", flavour, "--precision", "fp32")
    with DepthEstimator.open(tiny_bundle, backend=flavour, precision="fp32") as estimate:
        found = np.stack(list(estimate.stream(tiny_frames)))
    np.testing.assert_allclose(found, tiny_depth(tiny_frames), atol=FLOAT32_STEP_AT_20_M)


@pytest.mark.gpu
def test_onnxruntime_runs_on_the_provider_that_was_asked_for(tiny_graph):
    try:
        session = open_session("onnxruntime-cuda", tiny_graph())
    except MachineError as error:
        pytest.skip(str(error))
    assert "CUDAExecutionProvider" in session.executor
