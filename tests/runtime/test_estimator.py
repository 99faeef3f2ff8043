import io
import re
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest

import mde_runtime
from mde_runtime import BadInputError, DepthEstimator, MachineError, UsageError, VerdictError, installation
from mde_runtime.bundle import graph_name, read_bundle
from mde_runtime.cache import RankedCandidate, put_ranking

FLOAT32_STEP_AT_20_M = 2e-6


def test_the_public_names_are_these():
    assert set(mde_runtime.__all__) == {
        "depth_picture",
        "read_bundle",
        "BadInputError",
        "DepthEstimator",
        "MachineError",
        "MdeError",
        "MeasurementError",
        "UsageError",
        "VerdictError",
        "__version__",
    }
    assert all(hasattr(mde_runtime, name) for name in mde_runtime.__all__)


def test_a_frame_becomes_the_networks_depth(tiny_bundle, tiny_frames, tiny_depth):
    with DepthEstimator.open(tiny_bundle) as estimate:
        depth_m = estimate(tiny_frames[3])
    assert depth_m.dtype == np.float32
    np.testing.assert_allclose(depth_m, tiny_depth(tiny_frames[3]), atol=FLOAT32_STEP_AT_20_M)


def test_the_depth_belongs_to_the_caller(tiny_bundle, tiny_frames):
    with DepthEstimator.open(tiny_bundle) as estimate:
        first = estimate(tiny_frames[0])
        kept = first.copy()
        estimate(tiny_frames[1])
    np.testing.assert_array_equal(first, kept)


def test_detail_gives_depth_health_and_timings(tiny_bundle, tiny_frames):
    with DepthEstimator.open(tiny_bundle) as estimate:
        detail = estimate.detail(tiny_frames[0])
        np.testing.assert_array_equal(detail.depth_m, estimate(tiny_frames[0]))
    assert detail.health.is_good
    assert detail.timings_ms["total"] == pytest.approx(detail.timings_ms["check"] + detail.timings_ms["run"])


def test_the_choice_says_what_runs_and_why(tiny_bundle):
    with DepthEstimator.open(tiny_bundle) as estimate:
        choice = estimate.choice
    assert choice.precision == "fp32"
    assert choice.backend in ("openvino", "onnxruntime-cpu")  # the first is an extra that need not be installed
    assert choice.verification.executor in str(choice)
    assert "onnxruntime-cuda" in str(choice).split("not here: ")[1]
    assert "no CUDAExecutionProvider" in choice.not_here["onnxruntime-cuda"]


@pytest.mark.parametrize(("backend", "newly"), [("onnxruntime-cpu", [True, False]), ("openvino", [True, True, False])])
def test_a_bundle_is_verified_once_on_a_machine_and_again_as_a_cache_gives_it(tiny_bundle, backend, newly):
    choices = []
    for _ in newly:
        with DepthEstimator.open(tiny_bundle, backend) as estimate:
            choices.append(estimate.choice)
    assert [choice.is_newly_verified for choice in choices] == newly
    assert choices[-1].verification == choices[-2].verification


def test_what_was_fastest_in_the_bench_is_taken_first(tiny_bundle):
    fp32 = read_bundle(tiny_bundle).manifest.members[graph_name("fp32")].sha256
    put_ranking(
        fp32,
        (RankedCandidate("onnxruntime-cpu", "fp32", 0.02), RankedCandidate("onnxruntime-cpu", "fp16", 0.01)),
    )
    with DepthEstimator.open(tiny_bundle) as estimate:
        assert estimate.choice.precision == "fp16"
        assert "10.00 ms per frame in mde-bench" in str(estimate.choice)


def test_a_ranking_of_another_model_is_left_alone(tiny_bundle):
    put_ranking("0" * 64, (RankedCandidate("onnxruntime-cpu", "fp16", 0.01),))
    with DepthEstimator.open(tiny_bundle) as estimate:
        assert estimate.choice.precision == "fp32"


def test_a_graph_that_fails_verification_is_skipped_and_named(make_bundle, tiny_graph):
    bundle = make_bundle(graphs={"fp32": tiny_graph(offset_m=0.5), "fp16": tiny_graph("FLOAT16")})
    with DepthEstimator.open(bundle) as estimate:
        assert estimate.choice.precision == "fp16"
        assert f"not {estimate.choice.backend} fp32: failed verification" in str(estimate.choice)


def test_a_graph_that_fails_verification_never_runs(make_bundle, tiny_graph):
    bundle = make_bundle(graphs={"fp32": tiny_graph(offset_m=0.5)})
    for _ in ("verified now", "known from the record"):
        with pytest.raises(VerdictError, match=r"RMSE of the worst frame is 0\.5"):
            DepthEstimator.open(bundle)


def test_int8_is_taken_only_when_asked_for(make_bundle, tiny_graph):
    bundle = make_bundle(graphs={"fp32": tiny_graph(offset_m=0.5), "int8": tiny_graph("INT8")})
    with pytest.raises(VerdictError):
        DepthEstimator.open(bundle)
    with DepthEstimator.open(bundle, precision="int8") as estimate:
        assert estimate.choice.precision == "int8"


def test_a_backend_that_is_asked_for_and_not_here_is_an_error_with_the_remedy(tiny_bundle):
    with pytest.raises(MachineError, match=re.escape(installation.adding("gpu"))):
        DepthEstimator.open(tiny_bundle, backend="onnxruntime-cuda")


def test_the_null_backend_runs_the_layers_above_without_a_library(make_bundle, tiny_frames):
    floor_m = np.broadcast_to(np.linspace(2, 1, 24, dtype=np.float32)[:, None], (24, 32))
    bundle = make_bundle(depth_m=np.stack([floor_m] * 8))
    with DepthEstimator.open(bundle, backend="null") as estimate:
        np.testing.assert_array_equal(estimate(tiny_frames[0]), floor_m)


@pytest.mark.parametrize(("name", "value"), [("backend", "warp"), ("precision", "fp64")])
def test_an_unknown_name_is_an_error_that_lists_the_known(tiny_bundle, name, value):
    with pytest.raises(UsageError, match=rf"unknown {name} '{value}'.*; choose from auto, "):
        DepthEstimator.open(tiny_bundle, **{name: value})


def test_damaged_golden_frames_are_no_fault_of_the_machine(tiny_bundle, with_member, tiny_depth, tiny_frames):
    golden = io.BytesIO()
    np.savez(golden, frames=tiny_frames, depth_m=tiny_depth(tiny_frames)[:, :12])
    with_member(tiny_bundle, "golden.npz", golden.getvalue())
    with pytest.raises(BadInputError, match=r"tiny\.mde: golden depth_m is float32 \(8, 12, 32\)"):
        DepthEstimator.open(tiny_bundle)


def test_a_precision_that_the_bundle_has_not_is_an_error_with_the_remedy(tiny_bundle):
    with pytest.raises(BadInputError, match=r"add one: mde-export tiny\.mde --int8 --frames DIR -o NAME\.mde"):
        DepthEstimator.open(tiny_bundle, precision="int8")


BAD_FRAMES = {
    "a list": ([[[0, 0, 0]]], "is a list, not a numpy array"),
    "a float image": (np.zeros((24, 32, 3)), "is float64, not uint8"),
    "grey": (np.zeros((24, 32), np.uint8), r"has shape \(24, 32\)"),
    "empty": (np.zeros((0, 0, 3), np.uint8), r"has shape \(0, 0, 3\)"),
    "with alpha": (np.zeros((24, 32, 4), np.uint8), r"has shape \(24, 32, 4\)"),
    "of another size": (np.zeros((48, 64, 3), np.uint8), "--source-size 48x64"),
    "flipped": (np.zeros((24, 32, 3), np.uint8)[..., ::-1], "not contiguous"),
}


@pytest.mark.parametrize("kind", BAD_FRAMES)
def test_a_wrong_frame_is_one_line_and_nothing_is_lost(tiny_bundle, tiny_frames, kind):
    frame, complaint = BAD_FRAMES[kind]
    with DepthEstimator.open(tiny_bundle) as estimate:
        with pytest.raises(BadInputError, match=complaint) as caught:
            estimate(frame)
        assert "\n" not in str(caught.value)
        assert estimate(tiny_frames[0]).shape == (24, 32)


def test_a_closed_estimator_says_so(tiny_bundle, tiny_frames):
    with DepthEstimator.open(tiny_bundle) as estimate:
        estimate.close()
    with pytest.raises(UsageError, match="closed"):
        estimate(tiny_frames[0])


def test_many_estimators_work_in_many_threads(tiny_bundle, tiny_frames, tiny_depth):
    wrong = []

    def work(index: int) -> None:
        with DepthEstimator.open(tiny_bundle, num_threads=1) as estimate:
            off_m = [np.abs(estimate(tiny_frames[index]) - tiny_depth(tiny_frames[index])).max() for _ in range(20)]
            wrong.extend(off for off in off_m if off > FLOAT32_STEP_AT_20_M)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_import_loads_nothing_heavy():
    loaded = python("import mde_runtime, sys; mde_runtime.DepthEstimator; print(*sys.modules)").split()
    heavy = {"torch", "onnx", "onnxruntime", "openvino", "tensorrt", "PIL", "click", "rich", "mde_train"}
    assert heavy.isdisjoint(loaded)


def test_a_robot_without_torch_and_onnx_verifies_and_predicts(tiny_bundle):
    script = f"""
        import sys
        for name in ("torch", "onnx", "onnxscript", "onnx_ir", "mde_train", "mde_export"):
            sys.modules[name] = None  # importing it fails
        import numpy as np
        import mde_runtime
        from mde_runtime.bundle import read_bundle
        from mde_runtime.verify import verify_everywhere, without_backend
        bundle = read_bundle(__import__("pathlib").Path({str(tiny_bundle)!r}))
        assert without_backend(verify_everywhere(bundle, lambda: None)) == []
        with mde_runtime.DepthEstimator.open({str(tiny_bundle)!r}) as estimate:
            print(estimate(np.full((24, 32, 3), 51, np.uint8)).mean())
    """
    assert float(python(script)) == pytest.approx(4.0)


def python(script: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


class Wide:
    """A session that takes so many frames a run, and remembers how many came."""

    executor, device, arithmetic = "made for tests", "none", {"fp32": "fp32", "fp16": "fp16", "int8": "int8"}

    def __init__(self, max_batch):
        self.max_batch, self.sizes = max_batch, []

    def run(self, feeds, out=None):  # noqa: ARG002  # the seam
        self.sizes.append(len(feeds["frame"]))
        return {"depth_m": feeds["frame"].mean(axis=-1).astype(np.float32), "num_nonfinite": np.zeros(1, np.int32)}

    def close(self):
        pass


@pytest.mark.parametrize(("max_batch", "sizes"), [(1, [1] * 20), (16, [16, 4]), (32, [20]), (None, [8, 8, 4])])
def test_a_batch_is_cut_into_as_many_frames_as_a_run_takes(tiny_bundle, tiny_frames, max_batch, sizes):
    with DepthEstimator.open(tiny_bundle) as opened:
        choice, contract = opened.choice, opened.contract
    session, frames = Wide(max_batch), np.resize(tiny_frames, (20, *tiny_frames.shape[1:]))
    depth_m = DepthEstimator(session, contract, choice).batch(frames)
    assert session.sizes == sizes
    np.testing.assert_array_equal(depth_m, frames.mean(axis=-1).astype(np.float32))
