"""Frames and maps of an export lie in a file, so their number costs no memory."""

import tracemalloc

import numpy as np
import onnx.parser
import pytest

from mde_export.graph.canonical import from_bytes, stripped, to_bytes
from mde_export.graph.graft import graft
from mde_export.judge.certify import attempt, certificate_of
from mde_export.judge.evidence import Pictures, evidence_of
from mde_export.judge.execute import Executor
from mde_export.judge.stored import stored
from mde_export.precision.clipping import histograms

HEIGHT_PX, WIDTH_PX = 120, 160
MOST_MORE = 1.05  # the law: 128 frames take at most 5 % more memory than 64


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_what_is_stored_is_read_back_as_from_an_array(dtype):
    array = np.random.default_rng(0).uniform(0, 255, (7, 5, 3)).astype(dtype)
    kept = stored(iter(array))
    assert (kept.shape, len(kept), kept.dtype) == (array.shape, 7, array.dtype)
    for index in (0, 6, -1, np.int64(3), slice(2, 5), slice(None), slice(7, 9), [4, 1, 1], [-1], np.array([2, 3])):
        np.testing.assert_array_equal(kept[index], array[index])
    np.testing.assert_array_equal(list(kept), array)
    with pytest.raises(IndexError):
        kept[7]


def test_what_was_read_is_a_copy():
    kept = stored(iter(np.ones((2, 3), np.float32)))
    kept[0][...] = 5
    np.testing.assert_array_equal(kept[0], np.ones(3, np.float32))


@pytest.fixture
def model(contract):
    """A network whose depth is near its frame's colours, with its stages; its contract."""
    network = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 17]>
        net (float[1,3,8,16] x) => (float[1,1,8,16] y)
            <float[1] gain = {12}, float[1,3,1,1] mix = {0.5, 0.3, 0.1}> { a = Conv (x, mix) y = Mul (a, gain) }""")
    expected = contract(source__height_px=HEIGHT_PX, source__width_px=WIDTH_PX)
    return stripped(graft(from_bytes(network.SerializeToString()), expected)), expected


def noise_frames(num_frames):
    """Frames of noise, one at a time."""
    chance = np.random.default_rng(0)
    return (chance.integers(0, 256, (HEIGHT_PX, WIDTH_PX, 3), np.uint8) for _ in range(num_frames))


def peak_bytes_of_judging(frames, model, contract):
    """The most memory that a certificate and INT8's calibration take at once, the frames' own included."""
    graph = to_bytes(model)
    tracemalloc.start()
    try:
        pictures = Pictures(frames(), None, "noise")
        depth_m, num_nonfinite = Executor(graph, literal=True).depth(pictures.frames)
        evidence = evidence_of(pictures, depth_m, num_nonfinite, "the graph as given", contract)
        trial = attempt("fp32", graph, evidence)
        certificate_of(trial, evidence, None)
        names = [str(node.outputs[0].name) for node in model.graph if node.op_type == "Mul"][-1:]
        histograms(model, names, pictures.frames)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_twice_as_many_frames_take_no_more_memory(model):
    few, many = (peak_bytes_of_judging(lambda n=n: stored(noise_frames(n)), *model) for n in (64, 128))
    assert many <= MOST_MORE * few


def test_frames_that_are_held_in_memory_would_be_seen(model):
    few, many = (peak_bytes_of_judging(lambda n=n: np.stack(list(noise_frames(n))), *model) for n in (64, 128))
    assert many > MOST_MORE * few
