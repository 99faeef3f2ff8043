"""An estimator behaves alike on a CPU and on CUDA: each in its thread, beside others, beside torch, short of memory.

On CUDA not run by this project yet.
"""

import threading

import numpy as np
import onnx
import onnx.parser
import pytest

from mde_runtime import DepthEstimator, MachineError
from mde_runtime.backends import open_session

FLOAT32_STEP_AT_20_M = 4e-6
DEVICES = {"onnxruntime-cpu": "cpu", "onnxruntime-cuda": "cuda"}
BACKENDS = ["onnxruntime-cpu", pytest.param("onnxruntime-cuda", marks=pytest.mark.gpu)]


@pytest.fixture(params=BACKENDS)
def backend(request, tiny_graph):
    try:
        open_session(request.param, tiny_graph()).close()
    except MachineError as error:
        pytest.skip(str(error))
    return request.param


@pytest.fixture
def bundle(make_bundle, tiny_graph):
    """The tiny bundle as an export is: for one frame at a time, which is what a CUDA graph needs."""

    def single(graph: bytes) -> bytes:
        model = onnx.load_model_from_string(graph)
        for tensor in (*model.graph.input, *model.graph.output):
            tensor.type.tensor_type.shape.dim[0].dim_value = 1
        content: bytes = model.SerializeToString()
        return content

    return make_bundle("single.mde", {"fp32": single(tiny_graph()), "fp16": single(tiny_graph("FLOAT16"))})


def test_every_frame_has_its_own_depth_in_whatever_order_it_comes(backend, bundle, tiny_frames, tiny_depth):
    with DepthEstimator.open(bundle, backend, "fp32") as estimate:
        for index in (0, 3, 3, 7, 0):
            np.testing.assert_allclose(
                estimate(tiny_frames[index]), tiny_depth(tiny_frames[index]), atol=FLOAT32_STEP_AT_20_M
            )


def test_batch_and_stream_give_what_single_frames_give(backend, bundle, tiny_frames):
    with DepthEstimator.open(bundle, backend, "fp16") as estimate:
        singly = np.stack([estimate(frame) for frame in tiny_frames])
        np.testing.assert_array_equal(estimate.batch(tiny_frames), singly)
        np.testing.assert_array_equal(np.stack(list(estimate.stream(iter(tiny_frames)))), singly)


def test_each_thread_has_its_own_estimator_and_its_own_answers(backend, bundle, tiny_frames, tiny_depth):
    wrong = []

    def work(index: int) -> None:
        with DepthEstimator.open(bundle, backend, "fp32", num_threads=1) as estimate:
            for _ in range(20):
                error_m = np.abs(estimate(tiny_frames[index]) - tiny_depth(tiny_frames[index])).max()
                if error_m > FLOAT32_STEP_AT_20_M:
                    wrong.append((index, error_m))

    threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_an_estimator_made_in_one_thread_works_in_another(backend, bundle, tiny_frames, tiny_depth):
    found = []
    with DepthEstimator.open(bundle, backend, "fp32") as estimate:
        thread = threading.Thread(target=lambda: found.append(estimate(tiny_frames[2])))
        thread.start()
        thread.join()
    np.testing.assert_allclose(found[0], tiny_depth(tiny_frames[2]), atol=FLOAT32_STEP_AT_20_M)


def test_several_estimators_take_turns_and_one_that_closes_leaves_the_others(backend, bundle, tiny_frames, tiny_depth):
    estimators = [DepthEstimator.open(bundle, backend, "fp32") for _ in range(3)]
    while estimators:
        for estimate, frame in zip(estimators, tiny_frames, strict=False):
            np.testing.assert_allclose(estimate(frame), tiny_depth(frame), atol=FLOAT32_STEP_AT_20_M)
        estimators.pop().close()


def test_torch_computes_on_the_same_device_before_between_and_after(backend, bundle, tiny_frames, tiny_depth):
    torch = pytest.importorskip("torch", reason="an extra")
    if DEVICES[backend] == "cuda" and not torch.cuda.is_available():
        pytest.skip("torch finds no GPU")

    def product() -> float:
        ones = torch.ones(64, 64, device=DEVICES[backend])
        return float((ones @ ones).sum())

    assert product() == 64**3
    with DepthEstimator.open(bundle, backend, "fp32") as estimate:
        for frame in tiny_frames[:3]:
            np.testing.assert_allclose(estimate(frame), tiny_depth(frame), atol=FLOAT32_STEP_AT_20_M)
            assert product() == 64**3
    assert product() == 64**3


def test_memory_that_is_not_there_is_one_line_and_the_next_estimator_works(backend, bundle, tiny_frames):
    num_values = 1 << 45  # 128 TiB: no machine has that
    model = onnx.parser.parse_model(f"""
        <ir_version: 10, opset_import: ["": 20]>
        wide (float[1] one) => (float[1] sum)
        {{
            size = Constant <value_ints = [{num_values}]> ()
            wide = Expand (one, size)
            axes = Constant <value_ints = [0]> ()
            sum = ReduceSum (wide, axes)
        }}""")

    def run() -> None:
        open_session(backend, model.SerializeToString()).run({"one": np.ones(1, np.float32)})

    with pytest.raises(MachineError, match=r"memory of .+ is full; close other programs that use it") as caught:
        run()
    assert "\n" not in str(caught.value)
    with DepthEstimator.open(bundle, backend, "fp32") as estimate:
        assert estimate(tiny_frames[0]).shape == tiny_frames[0].shape[:2]


@pytest.mark.gpu
class TestCudaGraph:
    """Whether onnxruntime captures a frame as one CUDA graph."""

    @pytest.fixture(autouse=True)
    def _installed(self, tiny_graph):
        try:
            open_session("onnxruntime-cuda", tiny_graph()).close()
        except MachineError as error:
            pytest.skip(str(error))

    @pytest.mark.parametrize("precision", ["fp32", "fp16"])
    def test_a_graph_for_one_frame_is_captured(self, bundle, precision):
        with DepthEstimator.open(bundle, "onnxruntime-cuda", precision) as estimate:
            assert "one CUDA graph per frame" in estimate.choice.verification.executor

    def test_a_graph_for_any_number_of_frames_is_not_and_says_why(self, tiny_bundle):
        with DepthEstimator.open(tiny_bundle, "onnxruntime-cuda", "fp32") as estimate:
            assert "no CUDA graph (its shapes are dynamic)" in estimate.choice.verification.executor

    def test_a_frame_on_the_gpu_is_refused_in_one_line(self, bundle):
        torch = pytest.importorskip("torch", reason="an extra")
        if not torch.cuda.is_available():
            pytest.skip("torch finds no GPU")
        from mde_runtime import UsageError

        frame, out = torch.zeros(24, 32, 3, dtype=torch.uint8).cuda(), torch.zeros(24, 32).cuda()
        with (
            DepthEstimator.open(bundle, "onnxruntime-cuda", "fp32") as estimate,
            pytest.raises(UsageError, match="cannot run on GPU data"),
        ):
            estimate.on_device(frame, out, torch.cuda.current_stream().cuda_stream)
