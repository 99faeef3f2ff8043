"""Arrays that name the CUDA stream on which they are made: a run on another stream waits there, on the device.

Where work is done as late as allowed (`lazy`), a run that does not wait reads what the frame was before.
"""

import contextlib

import numpy as np
import pytest

from mde_runtime import DepthEstimator
from mde_runtime.cuda import open_cuda
from mde_runtime.engines import store
from mde_runtime.engines.build import DEFAULTS
from mde_runtime.engines.key import key_for
from mde_runtime.files import sha256_of

pytestmark = pytest.mark.gpu
LEGACY, PER_THREAD, OWN = 1, 2, "a stream of the producer"


class OnDevice:
    """Device memory, as a library shows it that works on a stream of its own."""

    def __init__(self, pointer, host, **named):
        data = {"data": (pointer, False), "shape": host.shape, "typestr": host.dtype.str, "version": 3}
        self.__cuda_array_interface__ = {**data, **named}


@pytest.fixture
def cuda():
    return open_cuda()


@pytest.fixture
def made(cuda):
    """Makes things of CUDA that are given back in the end: `made("stream")`, `made("device", num_bytes)`."""
    with contextlib.ExitStack() as after:

        def make(kind, *arguments, **options):
            with cuda.current():
                thing = getattr(cuda, f"new_{kind}")(*arguments, **options)
            after.callback(free, kind, thing)
            return thing

        def free(kind, thing):
            with cuda.current():
                if kind == "stream":
                    cuda.wait(thing)
                getattr(cuda, f"free_{kind}")(thing)

        yield make


@pytest.fixture
def estimate(tiny_bundle, tiny_graph):
    store.build(key_for(sha256_of(tiny_graph()), "tensorrt", DEFAULTS), tiny_graph())
    with DepthEstimator.open(tiny_bundle, backend="tensorrt", precision="fp32") as opened:
        yield opened


@pytest.fixture
def depth_of_a_late_frame(cuda, made, estimate, tiny_frames):
    """A function: the depth of the second frame, which a stream uploads over the first while a run is queued."""

    def run(stream, named):
        frames = [made("host", frame.shape, np.uint8, is_mapped=False) for frame in tiny_frames[:2]]
        for host, frame in zip(frames, tiny_frames, strict=False):
            host[:] = frame
        depth_m = made("host", frames[0].shape[:2], np.float32, is_mapped=False)
        at_frame, at_depth = made("device", frames[0].nbytes), made("device", depth_m.nbytes)
        consumer = made("stream")
        with cuda.current():
            cuda.upload(at_frame, frames[0], consumer)
            cuda.wait(consumer)
            cuda.upload(at_frame, frames[1], stream)
            estimate.on_device(OnDevice(at_frame, frames[0], **named), OnDevice(at_depth, depth_m), consumer)
            cuda.download(depth_m, at_depth, consumer)
            cuda.wait(consumer)
            cuda.wait(stream)
        return depth_m.copy()

    return run


@pytest.mark.parametrize("stream", [LEGACY, PER_THREAD, OWN])
def test_a_run_waits_for_the_stream_that_makes_its_frame(made, depth_of_a_late_frame, tiny_frames, tiny_depth, stream):
    producer = made("stream") if stream == OWN else stream
    depth_m = depth_of_a_late_frame(producer, {"stream": producer})
    np.testing.assert_allclose(depth_m, tiny_depth(tiny_frames[1]), atol=4e-6)


@pytest.mark.parametrize("named", [{}, {"stream": None}])
def test_an_array_that_names_no_stream_is_taken_as_it_lies(
    cuda_mode, made, depth_of_a_late_frame, tiny_frames, tiny_depth, named
):
    depth_m = depth_of_a_late_frame(made("stream"), named)
    if cuda_mode == "lazy":  # in the others the upload may be done by then
        np.testing.assert_allclose(depth_m, tiny_depth(tiny_frames[0]), atol=4e-6)


def test_an_output_that_is_still_written_elsewhere_is_written_last_by_the_run(
    cuda, made, estimate, tiny_frames, tiny_depth
):
    frame = made("host", tiny_frames[0].shape, np.uint8, is_mapped=False)
    frame[:] = tiny_frames[0]
    depth_m, zeros = (made("host", frame.shape[:2], np.float32, is_mapped=False) for _ in range(2))
    zeros[:] = 0
    at_frame, at_depth = made("device", frame.nbytes), made("device", depth_m.nbytes)
    consumer, producer = made("stream"), made("stream")
    with cuda.current():
        cuda.upload(at_frame, frame, consumer)
        cuda.upload(at_depth, zeros, producer)
        out = OnDevice(at_depth, depth_m, stream=producer)
        estimate.on_device(OnDevice(at_frame, frame), out, consumer)
        cuda.wait(consumer)
        cuda.wait(producer)
        cuda.download(depth_m, at_depth, consumer)
        cuda.wait(consumer)
    np.testing.assert_allclose(depth_m, tiny_depth(tiny_frames[0]), atol=4e-6)
