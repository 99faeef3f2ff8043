"""A caller's arrays are the caller's: no backend writes to a frame, or to a depth that it gave back before."""

import itertools

import numpy as np
import onnx
import pytest

from mde_runtime import DepthEstimator
from mde_runtime.backends import BACKENDS, open_session
from mde_runtime.backends.null import FAR_M, NEAR_M
from mde_runtime.machine import this_machine

FLOAT32_STEP_AT_20_M = 4e-6
TOLERANCES_M = {"openvino-bf16": 0.12}  # 8 bits of mantissa at 20 m, and half of that once more for the sum before
WAYS = ("call", "out", "detail", "batch", "stream", "left stream")
BATCHES = ("fixed", "open")


def with_a_batch_of_one(graph: bytes) -> bytes:
    """The graph as an export without `--batch` is."""
    model = onnx.load_model_from_string(graph)
    for tensor in (*model.graph.input, *model.graph.output):
        tensor.type.tensor_type.shape.dim[0].dim_value = 1
    content: bytes = model.SerializeToString()
    return content


HAS_BFLOAT16 = {"avx512_bf16", "amx_bf16", "bf16"} & set(this_machine().instruction_set)
HERE = [name for name, row in BACKENDS.items() if row.device != "cuda" and (name != "openvino-bf16" or HAS_BFLOAT16)]


@pytest.fixture(params=HERE)
def backend(request):
    return request.param


@pytest.fixture(params=BATCHES)
def graph(request, tiny_graph):
    return with_a_batch_of_one(tiny_graph()) if request.param == "fixed" else tiny_graph()


@pytest.fixture
def session(backend, graph):
    opened = open_session(backend, graph, num_threads=1)
    yield opened
    opened.close()


@pytest.fixture
def estimate(session, tiny_bundle):
    with DepthEstimator.open(tiny_bundle, "onnxruntime-cpu") as opened:
        return DepthEstimator(session, opened.contract, opened.choice)


@pytest.fixture
def expected(backend, tiny_depth):
    """A function that gives the depth a backend owes for frames."""

    def depth_of(frames):
        if backend != "null":
            return tiny_depth(frames)
        floor_m = np.linspace(FAR_M, NEAR_M, frames.shape[-3], dtype=np.float32)[:, None]
        return np.broadcast_to(floor_m, frames.shape[:-1])

    return depth_of


def depths_by(estimate, way, frames):
    """The depth of each of some frames, asked for in one way. They are the caller's, as the frames are."""
    if way == "call":
        return [estimate(frame) for frame in frames]
    if way == "out":
        return [estimate(frame, out=np.empty(frame.shape[:2], np.float32)) for frame in frames]
    if way == "detail":
        return [estimate.detail(frame).depth_m for frame in frames]
    if way == "batch":
        return list(estimate.batch(frames))
    stream = estimate.stream(iter(frames))
    depths = list(itertools.islice(stream, 2 if way == "left stream" else None))
    stream.close()
    return depths


def drawn(chance, num_frames=4):
    return chance.integers(0, 256, (num_frames, 24, 32, 3), dtype=np.uint8)


def test_in_every_order_of_calls_each_depth_is_its_frames_and_nothing_of_the_callers_changes(
    estimate, backend, expected
):
    chance, given = np.random.default_rng(3), []
    for way in itertools.chain.from_iterable(itertools.product(WAYS, repeat=2)):  # each way after each
        frames = drawn(chance)
        before = frames.copy()
        given.append((way, frames, before, depths_by(estimate, way, frames)))
    for way, frames, before, depths in given:
        np.testing.assert_array_equal(frames, before, err_msg=f"frames of a {way} were written to")
        np.testing.assert_allclose(
            np.stack(depths),
            expected(before)[: len(depths)],
            atol=TOLERANCES_M.get(backend, FLOAT32_STEP_AT_20_M),
            err_msg=f"depth of a {way}",
        )


@pytest.mark.parametrize("way", WAYS)
def test_a_frame_that_is_used_again_changes_no_depth_that_was_given(estimate, backend, expected, way):
    frames = drawn(np.random.default_rng(5))
    before = frames.copy()
    depths = depths_by(estimate, way, frames)
    frames[:] = 255
    depths_by(estimate, way, frames)
    np.testing.assert_allclose(
        np.stack(depths), expected(before)[: len(depths)], atol=TOLERANCES_M.get(backend, FLOAT32_STEP_AT_20_M)
    )


@pytest.mark.parametrize("way", ["call", "batch", "stream"])
def test_frames_that_are_read_only_or_every_second_of_a_film_are_taken(estimate, backend, expected, way):
    film = drawn(np.random.default_rng(6), 8)
    film.flags.writeable = False
    depths = depths_by(estimate, way, film[::2])
    np.testing.assert_allclose(
        np.stack(depths), expected(film[::2]), atol=TOLERANCES_M.get(backend, FLOAT32_STEP_AT_20_M)
    )


@pytest.mark.parametrize("num_frames", [1, 3])
def test_several_frames_at_once_are_read_and_never_written(session, backend, expected, num_frames):
    frames = drawn(np.random.default_rng(8), min(num_frames, session.max_batch or num_frames))
    before = frames.copy()
    for _ in range(3):
        answer = session.run({"frame": frames})["depth_m"]
        np.testing.assert_array_equal(frames, before)
        np.testing.assert_allclose(answer, expected(before), atol=TOLERANCES_M.get(backend, FLOAT32_STEP_AT_20_M))
