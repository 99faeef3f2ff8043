"""The emulation rounds where the FP16 graph says half, and nowhere else; runtimes on a CPU do not."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from mde_export.graph.canonical import from_bytes, stripped, to_bytes
from mde_export.judge.execute import Executor
from mde_export.precision.emulate import emulated, fused
from mde_export.precision.half import half_from_float


def half_of(body: str, constants: str = "", kept: tuple[str, ...] = ()):
    model = onnx.parser.parse_model(f"""<ir_version: 8, opset_import: ["" : 18]>
        net (float[4] x) => (float[4] y) {constants} {body}""")
    return half_from_float(stripped(from_bytes(model.SerializeToString())), kept)


def emulate(half, x) -> list[float]:
    answer = Executor(to_bytes(emulated(half)), literal=True).run({"x": np.array(x, np.float32)})
    return answer["y"].tolist()


def test_every_half_operator_rounds_as_numpys_float16_does(noise):
    half = half_of("{ [a] a = Mul (x, w) [b] b = Add (a, x) [c] y = Div (b, w) }", "<float w = {0.3}>")
    x = noise.normal(0, 10, 4).astype(np.float32)
    w = np.float16(0.3)
    expected = ((x.astype(np.float16) * w) + x.astype(np.float16)) / w
    assert emulate(half, x) == expected.astype(np.float32).tolist()


def test_fused_kernels_round_the_weights_alone(noise):
    half = half_of("{ [a] a = Mul (x, w) [b] y = Add (a, x) }", "<float w = {0.3}>")
    x = noise.normal(0, 10, 4).astype(np.float32)
    entered, weight = x.astype(np.float16).astype(np.float32), np.float32(np.float16(0.3))
    answer = Executor(to_bytes(fused(half)), literal=True).run({"x": x})["y"]
    np.testing.assert_array_equal(answer, entered * weight + entered)
    assert answer.tolist() != emulate(half, x)


def test_a_value_past_the_largest_half_becomes_infinite_though_it_comes_back():
    half = half_of("{ [up] a = Mul (x, w) [down] y = Div (a, w) }", "<float w = {1000.0}>")
    assert emulate(half, [1, 60, 65, 70]) == [1, 60, 65, np.inf]  # 65 * 1000 is the last below 65504


def test_onnxruntime_hides_that_overflow_so_it_is_no_judge_of_half():
    half = half_of("{ [up] a = Mul (x, w) [down] y = Div (a, w) }", "<float w = {1000.0}>")
    x = np.array([1, 60, 65, 70], np.float32)
    assert np.isfinite(Executor(to_bytes(half), literal=True).run({"x": x})["y"]).all()


def test_a_kept_node_is_not_rounded():
    constants = "<float w = {1000.0}>"
    half = half_of("{ [up] a = Mul (x, w) [down] y = Div (a, w) }", constants, kept=("up", "down"))
    assert emulate(half, [0.1, 60, 65, 70]) == pytest.approx([0.1, 60, 65, 70], rel=1e-6)  # float32, 11 bits would show


def test_onnxruntime_carries_every_cast_out(tmp_path):
    half = half_of("{ [a] a = Mul (x, x) [b] b = Relu (a) [c] y = Add (b, x) }")
    graph = to_bytes(emulated(half))
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.optimized_model_filepath = str(tmp_path / "ran.onnx")
    ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    written, ran = onnx.ModelProto.FromString(graph), onnx.load(tmp_path / "ran.onnx")
    num_written, num_ran = (sum(node.op_type == "Cast" for node in model.graph.node) for model in (written, ran))
    assert num_written == num_ran == 3 * 2  # x, a and c to half and back: a Relu rounds nothing


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_the_emulated_error_is_that_of_pytorchs_half_kernels(noise, device):
    """Six layers of 32 channels: the two round in another order, so sizes agree and pixels do not."""
    weights = noise.normal(0, (2 / 288) ** 0.5, (6, 32, 32, 3, 3)).astype(np.float32)
    layers = [f"[conv{i}] c{i} = Conv <pads = [1,1,1,1]> (r{i}, w{i}) r{i + 1} = Relu (c{i})" for i in range(6)]
    text = f"""<ir_version: 8, opset_import: ["" : 18]>
        net (float[1,32,24,24] x) => (float[1,32,24,24] y)
        {{ r0 = Identity (x) {" ".join(layers)} y = Identity (r6) }}"""
    network = onnx.parser.parse_model(text)
    network.graph.initializer.extend(onnx.numpy_helper.from_array(weight, f"w{i}") for i, weight in enumerate(weights))
    model = stripped(from_bytes(network.SerializeToString()))
    x = noise.uniform(0, 1, (1, 32, 24, 24)).astype(np.float32)
    exact, rounded = (
        Executor(to_bytes(graph), literal=True).run({"x": x})["y"]
        for graph in (model, emulated(half_from_float(model, ())))
    )
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("torch sees no GPU")
    theirs = torch.from_numpy(x).half().to(device)
    for weight in weights:
        kernel = torch.from_numpy(weight).half().to(device)
        theirs = torch.relu(torch.nn.functional.conv2d(theirs, kernel, padding=1))
    ours_rmse, their_rmse = (
        float(np.sqrt(np.mean((answer - exact) ** 2))) for answer in (rounded, theirs.float().cpu().numpy())
    )
    assert ours_rmse == pytest.approx(their_rmse, rel=0.25)
