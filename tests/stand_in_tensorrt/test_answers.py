"""Answers of None, False and -1 from TensorRT: each is one error of ours, and leaves nothing behind.

The plugin of the stand-in of CUDA's driver checks after each test that nothing was left on the device.
"""

import gc
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from mde_runtime import BadInputError, DepthEstimator, MachineError
from mde_runtime.backends import open_session
from mde_runtime.cuda import open_cuda
from mde_runtime.engines import store
from mde_runtime.engines.build import BuildOptions, build_engine
from mde_runtime.engines.key import key_for
from mde_runtime.files import sha256_of

pytestmark = pytest.mark.gpu
FLAVOURS = ["tensorrt", "tensorrt-rtx"]


def built(graph, flavour="tensorrt", max_batch=1):
    key = key_for(sha256_of(graph), flavour, BuildOptions(batch=(1, 1, max_batch)))
    store.build(key, graph)
    return key


def frame_for(tiny_frames, num_frames=1):
    return {"frame": np.stack([tiny_frames[index % len(tiny_frames)] for index in range(num_frames)])}


@pytest.mark.any_mode
@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("Builder", "cannot start a builder"),
        ("build_serialized_network", r"cannot build the graph: .*any implementation for node late"),
        ("add_optimization_profile", "refuses batches of 1 to 4 frames"),
    ],
)
def test_a_builders_refusal_is_one_error(tiny_graph, refuse, call, said):
    refuse(call)
    with pytest.raises(MachineError, match=said) as caught:
        build_engine(tiny_graph(), "tensorrt", BuildOptions(batch=(1, 1, 4)))
    assert "\n" not in str(caught.value)


@pytest.mark.any_mode
@pytest.mark.parametrize("call", ["create_timing_cache", "set_timing_cache", "get_timing_cache"])
def test_timings_that_the_builder_refuses_to_make_take_or_give_cost_no_engine(tiny_graph, tmp_path, refuse, call):
    refuse(call)
    assert build_engine(tiny_graph(), "tensorrt", timing_cache=tmp_path / "timings")


@pytest.mark.any_mode
@pytest.mark.parametrize("content", [b"damaged", b"fake timings of L4"])
def test_damaged_and_foreign_timings_are_replaced_by_those_of_this_device(tiny_graph, tmp_path, content):
    (tmp_path / "timings").write_bytes(content)
    assert build_engine(tiny_graph(), "tensorrt", timing_cache=tmp_path / "timings")
    assert (tmp_path / "timings").read_bytes() == b"fake timings of H200"


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("deserialize_cuda_engine", "rejects the engine .*magic tag does not match"),
        ("create_execution_context", "cannot create an execution context"),
        ("set_input_shape", "refuses .* for frame"),
        ("set_tensor_address", "rejects the address"),
        ("set_tensor_address:2", "rejects the address"),
        ("execute_async_v3", "failed to run"),
    ],
)
def test_a_runtimes_refusal_is_one_error_and_leaves_nothing(tiny_graph, refuse, flavour, call, said):
    built(tiny_graph(), flavour, max_batch=4)
    refuse(call)
    with pytest.raises(MachineError, match=said) as caught:
        open_session(flavour, tiny_graph())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("call", ["create_execution_context:2", "set_tensor_address:4", "execute_async_v3:3"])
def test_a_second_lane_that_the_library_refuses_leaves_the_first_at_work(tiny_graph, tiny_frames, refuse, call):
    built(tiny_graph())
    refuse(call)
    session = open_session("tensorrt", tiny_graph())
    with pytest.raises(MachineError):
        session.lanes()
    assert session.run(frame_for(tiny_frames))["depth_m"].any()
    session.close()


def test_kernels_that_rtx_refuses_are_compiled_again(tiny_graph, tiny_frames, refuse):
    built(tiny_graph(), "tensorrt-rtx")
    for is_refused, is_from_cache in ((False, False), (False, True), (True, False)):
        refuse("deserialize" if is_refused else "")
        session = open_session("tensorrt-rtx", tiny_graph())
        assert session.is_from_cache == is_from_cache
        assert session.run(frame_for(tiny_frames))["depth_m"].any()
        session.close()


@pytest.mark.breaks_rules  # an address of the host, as a device's
def test_an_address_that_the_engine_cannot_take_is_refused_before_it_runs(tiny_graph):
    built(tiny_graph())
    session = open_session("tensorrt", tiny_graph())
    cuda = open_cuda()
    with cuda.current():
        stream = cuda.new_stream()
        pointers = {name: cuda.new_device(1 << 16) for name in ("frame", "depth_m", "num_nonfinite")}
        session.run_on(stream, pointers)
        with pytest.raises(BadInputError, match="takes multiples of 256 bytes"):
            session.run_on(stream, {**pointers, "frame": pointers["frame"] + 64})
        host = cuda.new_host((1 << 16,), np.uint8, is_mapped=False)
        with pytest.raises(MachineError, match="rejects the address"):
            session.run_on(stream, {**pointers, "frame": host.ctypes.data})
        session.run_on(stream, pointers)  # what came before is forgotten
        cuda.wait(stream)
        for pointer in pointers.values():
            cuda.free_device(pointer)
        cuda.free_host(host)
        cuda.free_stream(stream)
    session.close()


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_single_frame_is_no_batch_of_the_largest_size(tiny_graph, tiny_frames, tiny_depth, flavour):
    built(tiny_graph(), flavour, max_batch=4)
    session = open_session(flavour, tiny_graph())
    assert (session.max_batch, session.device_batch) == (4, 1)
    assert "batch 1 or 4, one CUDA graph per frame" in session.executor
    for num_frames in (1, 3, 4, 1):
        feeds = frame_for(tiny_frames, num_frames)
        np.testing.assert_allclose(session.run(feeds)["depth_m"], tiny_depth(feeds["frame"]), atol=4e-6)
    for lane in session.lanes():
        for num_frames in (4, 1):
            feeds = frame_for(tiny_frames, num_frames)
            lane.start(feeds)
            np.testing.assert_allclose(lane.finish()["depth_m"], tiny_depth(feeds["frame"]), atol=4e-6)
    session.close()


def test_what_one_frame_takes_is_not_more_for_a_larger_batch(tiny_graph, stand_in):
    sizes = []
    for max_batch in (1, 16):
        built(tiny_graph(), max_batch=max_batch)
        before = stand_in.left()["device_allocations"]
        session = open_session("tensorrt", tiny_graph())
        sizes.append(stand_in.left()["device_allocations"] - before)
        session.close()
    assert sizes[0] == sizes[1]


def test_the_memory_of_a_shared_gpu_is_measured_once_and_said(tiny_graph, tiny_frames, monkeypatch, stand_in, refuse):
    import fake_tensorrt

    monkeypatch.setenv("FAKE_CUDA_CHIP", "orin")
    stand_in.read_settings()
    built(tiny_graph())
    said = []
    for num_contexts in (3, 1):  # two on trial and one that stays; then its own alone
        refuse("")
        session = open_session("tensorrt", tiny_graph())
        assert fake_tensorrt._num_asked["create_execution_context"] == num_contexts
        said.append(session.executor)
        assert session.run(frame_for(tiny_frames))["depth_m"].any()
        session.close()
    assert said[0] == said[1]
    assert "as measured faster here" in said[0]


def test_an_estimator_that_is_dropped_is_freed_at_once(tiny_bundle, tiny_graph, tiny_frames, stand_in):
    built(tiny_graph(), max_batch=4)
    gc.collect()
    gc.disable()
    try:
        left = stand_in.left()
        estimate = DepthEstimator.open(tiny_bundle, backend="tensorrt", precision="fp32")
        estimate.batch(np.stack([tiny_frames[0]] * 5))
        assert list(estimate.stream(tiny_frames))
        del estimate
        assert stand_in.left() == left
    finally:
        gc.enable()


REASONS = [
    ({"FAKE_CUDA_DEVICES": "0"}, "finds no GPU", "CUDA_VISIBLE_DEVICES"),
    ({"FAKE_CUDA_VERSION": "11040"}, "too old", "update NVIDIA's driver"),
    ({"LD_LIBRARY_PATH": ""}, "no NVIDIA driver", "install NVIDIA's driver"),
]


@pytest.mark.any_mode
@pytest.mark.parametrize(("settings", "reason", "remedy"), REASONS, ids=["no device", "old", "no driver"])
def test_the_doctor_tells_no_driver_no_device_and_an_old_one_apart(settings, reason, remedy):
    asked = "from mde_runtime.cli.doctor import main; main(['--json'])"
    ended = subprocess.run(
        [sys.executable, "-c", asked], env={**os.environ, **settings}, stdout=subprocess.PIPE, text=True, check=True
    )
    (row,) = (row for row in json.loads(ended.stdout) if row["what"] == "CUDA")
    assert (row["state"], reason in row["detail"], remedy in row["remedy"]) == ("no", True, True)
    assert not any(other in row["detail"] for _, other, _ in REASONS if other != reason)
