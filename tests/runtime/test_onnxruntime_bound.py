"""The binding that CUDA needs, with the CPU as its device: the calls are the same."""

import numpy as np
import onnx
import onnxruntime
import pytest

from mde_runtime import BadInputError
from mde_runtime.backends.onnxruntime_bound import Binding, can_be_bound


def session_of(graph: bytes) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])


@pytest.fixture
def static_graph(tiny_graph) -> bytes:
    """The tiny network for one frame a run, as an export is."""
    model = onnx.load_from_string(tiny_graph())
    for tensor in (*model.graph.input, *model.graph.output):
        tensor.type.tensor_type.shape.dim[0].dim_value = 1
    return model.SerializeToString()


@pytest.fixture
def binding(static_graph):
    return Binding(session_of(static_graph), "cpu")


def test_an_export_can_be_bound_and_an_open_batch_cannot(static_graph, tiny_graph):
    assert can_be_bound(session_of(static_graph))
    assert not can_be_bound(session_of(tiny_graph()))


def test_every_run_gives_its_own_answer_and_it_is_the_callers(binding, tiny_frames, tiny_depth):
    answers = [binding.run({"frame": tiny_frames[index : index + 1]}, None)["depth_m"] for index in range(3)]
    np.testing.assert_allclose(np.concatenate(answers), tiny_depth(tiny_frames[:3]), atol=4e-6)  # float32 at 20 m


def test_out_is_written_to(binding, tiny_frames, tiny_depth):
    out = {"depth_m": np.empty((1, 24, 32), np.float32), "num_nonfinite": np.empty(1, np.int32)}
    assert binding.run({"frame": tiny_frames[:1]}, out)["depth_m"] is out["depth_m"]
    np.testing.assert_allclose(out["depth_m"], tiny_depth(tiny_frames[:1]), atol=4e-6)  # float32 at 20 m


@pytest.mark.parametrize(
    "feeds",
    [
        {"image": np.zeros((1, 24, 32, 3), np.uint8)},
        {"frame": np.zeros((2, 24, 32, 3), np.uint8)},
        {"frame": np.zeros((1, 24, 32, 3), np.float32)},
    ],
)
def test_a_wrong_feed_is_refused(binding, feeds):
    with pytest.raises(BadInputError, match="cannot run the graph"):
        binding.run(feeds, None)
