"""The emulation rounds where the FP16 graph says half, and nowhere else; runtimes on a CPU do not."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from mde_export.canonical import from_bytes, stripped, to_bytes
from mde_export.emulate import emulated
from mde_export.execute import Executor
from mde_export.half import half_from_float


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
    wanted = ((x.astype(np.float16) * w) + x.astype(np.float16)) / w
    assert emulate(half, x) == wanted.astype(np.float32).tolist()


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
