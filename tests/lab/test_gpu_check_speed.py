"""The bench part of `make gpu-check`, with the CPU as its device."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import onnx
import pytest

from lab.gpu_check.clock import Clock
from lab.gpu_check.request import Request
from lab.gpu_check.speed.aims import judged
from lab.gpu_check.speed.chip import Chip, measure_chip
from lab.gpu_check.speed.floor import floor_s
from lab.gpu_check.speed.networks import write_random_checkpoint
from lab.gpu_check.speed.part import lines_of_setting
from lab.gpu_check.speed.ways import CAPTURED, COMPILED, EAGER, ESTIMATOR, GPU, REHEARSAL, Aims
from lab.subjects import estimator_device, onnxruntime_plain, torch_device
from lab.subjects.fixed_batch import with_batch
from mde_bench.subjects import torch_eager
from mde_bench.timing.gpu_time import gpu_time

HALF_STEP_AT_20_M = 0.016


@pytest.fixture(scope="module")
def random_checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("random") / "fast.ckpt"
    write_random_checkpoint("fast", (32, 64), path)
    return path


MULTIPLYING = """
    <ir_version: 10, opset_import: ["": 20]>
    net (float[N, 4, 8, 8] x) => (float[N, 16, 8, 8] y)
    <float[16, 4, 1, 1] w = {}>
    {{ z = Conv (x, w) y = Relu (z) }}"""


@pytest.fixture
def multiplying() -> bytes:
    """One convolution: 16 x 64 outputs of 4 multiply-adds, 4 x 64 numbers in and 16 x 64 out, 64 weights."""
    graph = onnx.parser.parse_model(MULTIPLYING.format("{" + ", ".join(["1"] * 64) + "}"))
    return onnx.shape_inference.infer_shapes(graph).SerializeToString()


def chip(copy_bytes_per_s=1e30, macs_per_s=1e30) -> Chip:
    return Chip("abacus", copy_bytes_per_s, {"fp32": macs_per_s, "fp16": 2 * macs_per_s}, 1.0, 1.0, 1.0)


def test_a_layer_that_multiplies_long_is_bounded_by_its_multiply_adds(multiplying):
    assert floor_s(multiplying, 1, "fp32", chip(macs_per_s=1.0)) == 16 * 64 * 4
    assert floor_s(multiplying, 8, "fp16", chip(macs_per_s=1.0)) == 8 * 16 * 64 * 4 / 2


def test_a_layer_that_moves_much_is_bounded_by_its_bytes_and_its_weights_come_once(multiplying):
    frame_bytes, weight_bytes = 4 * (4 + 16) * 64, 4 * 64
    assert floor_s(multiplying, 1, "fp32", chip(copy_bytes_per_s=1.0)) == frame_bytes + weight_bytes
    assert floor_s(multiplying, 8, "fp32", chip(copy_bytes_per_s=1.0)) == 8 * frame_bytes + weight_bytes


def test_the_rates_of_this_chip_are_finite():
    measured = measure_chip("cpu", 1 << 20, 64)
    figures = (measured.copy_bytes_per_s, *measured.macs_per_s.values(), measured.launch_s)
    assert all(0 < figure < float("inf") for figure in figures)


@pytest.fixture
def figures_of():
    return {
        ESTIMATOR: {"p50_ms": 0.20, "copies_ms": 0.03},
        EAGER: {"p50_ms": 1.2, "call_p50_ms": 1.1},
        COMPILED: {"p50_ms": 0.25, "call_p50_ms": 0.2},
        CAPTURED: {"p50_ms": 0.20, "call_p50_ms": 0.15},
    }


def test_each_aim_is_judged_by_itself(figures_of):
    lines = list(judged(Aims(5.0, 1.3, 30e-6), "fast", figures_of))
    assert [line.verdict for line in lines] == ["passed", "failed", "passed"]  # 6 times, 1.25 times, 20 µs
    assert lines[0].figures["times"] == pytest.approx(6)
    assert lines[2].figures["us"] == pytest.approx(20)


def test_an_aim_without_the_estimators_figure_is_no_failure(figures_of):
    del figures_of[ESTIMATOR]
    assert [line.verdict for line in judged(Aims(5.0, 1.3, 30e-6), "fast", figures_of)] == ["absent"]


def event(name, elapsed_us, device="CUDA"):
    return SimpleNamespace(
        name=name,
        device_type=SimpleNamespace(name=device),
        time_range=SimpleNamespace(elapsed_us=lambda: elapsed_us),
    )


def test_kernels_and_copies_are_told_apart_and_the_hosts_events_are_left_out():
    events = [event("Memcpy HtoD (Pageable -> Device)", 4), event("conv", 10), event("relu", 2), event("x", 99, "CPU")]
    found = gpu_time([*events, *events], num_calls=2)
    assert (found.kernel_s, found.copy_s, found.num_kernels) == (pytest.approx(12e-6), pytest.approx(4e-6), 2)


def test_what_a_user_marked_is_not_counted_beside_its_kernels():
    marked = event("my step", 50)
    marked.is_user_annotation = True
    assert gpu_time([event("conv", 10), marked], num_calls=1).num_kernels == 1


@pytest.mark.parametrize("size", [1, 3])
def test_every_way_gives_the_depth_of_a_batch_of_any_size(tiny_bundle, tiny_frames, tiny_depth, size):
    model, frames = str(tiny_bundle), tiny_frames[:size]
    opened = [
        onnxruntime_plain.open_plain(model, "cpu", "fp16"),
        onnxruntime_plain.open_captured(model, "cpu", "fp16"),
        estimator_device.open_subject(model, "cpu", "onnxruntime", "fp32"),
    ]
    for subject in opened:
        np.testing.assert_allclose(subject.answer(frames).depth_m, tiny_depth(frames), atol=HALF_STEP_AT_20_M)
        subject.close()


def test_torch_on_a_device_gives_the_depth_of_the_checkpoints_model(random_checkpoint):
    from mde_train.checkpoint import read_checkpoint

    frames = read_checkpoint(random_checkpoint).heldout_frames[:4]
    reference = torch_eager.open_subject(str(random_checkpoint), 1).answer_batch(frames)
    exact, half = (
        torch_device.open_subject(str(random_checkpoint), "cpu", precision, "eager", 0, "1").answer(frames).depth_m
        for precision in ("fp32", "fp16")
    )
    np.testing.assert_allclose(exact, reference, atol=1e-4)  # channels last sums in another order
    assert 1e-4 < np.abs(half - reference).mean() < 0.1  # a whole network in half: centimetres, and not nothing


def test_a_graph_of_a_fixed_batch_takes_that_size_alone(tiny_graph):
    model = onnx.load_from_string(with_batch(tiny_graph(), 4))
    tensors = (*model.graph.input, *model.graph.output)
    assert {tensor.type.tensor_type.shape.dim[0].dim_value for tensor in tensors} == {4}


def test_random_weights_give_depth_that_varies_by_one_to_two_metres(random_checkpoint):
    from mde_train.checkpoint import read_checkpoint

    frames = read_checkpoint(random_checkpoint).heldout_frames
    assert 1 < torch_eager.open_subject(str(random_checkpoint), 1).answer_batch(frames).std() < 2


@pytest.mark.slow
def test_the_bench_rehearses_on_a_cpu_with_a_line_for_every_way_and_size(tmp_path, tiny_bundle, tiny_checkpoint):
    models = tmp_path / "models"  # where it keeps what it exported: here it finds them done
    models.mkdir()
    tiny_bundle.rename(models / "fast.mde")
    tiny_checkpoint.rename(models / "fast.ckpt")
    ways = tuple(way for way in REHEARSAL.ways if way.name in (EAGER, ESTIMATOR, CAPTURED))
    setting = dataclasses.replace(REHEARSAL, ways=ways)
    lines = {line.what: line for line in lines_of_setting(setting, Request(tmp_path), Clock(5))}
    expected = {f"fast, {batch}, {way.name}" for batch in setting.batches for way in ways}
    assert expected <= set(lines)
    assert {lines[name].verdict for name in expected} == {"passed"}
    assert {"p50_ms", "p99_ms", "frames_per_s", "gpu_ms", "worst_rmse_mm"} <= set(
        lines[f"fast, 1, {ESTIMATOR}"].figures
    )
    assert lines[f"fast: as fast as {EAGER}"].part == "aims"


def test_a_network_for_which_no_time_is_left_is_named(tmp_path, tiny_bundle, tiny_checkpoint):
    models = tmp_path / "models"
    models.mkdir()
    tiny_bundle.rename(models / "fast.mde")
    tiny_checkpoint.rename(models / "fast.ckpt")
    lines = list(lines_of_setting(REHEARSAL, Request(tmp_path), Clock(0)))
    assert [line.verdict for line in lines if line.what == "fast"] == ["absent"]


def test_all_that_is_asked_for_is_measured():
    names = {way.name for way in GPU.ways}
    assert {EAGER, COMPILED, ESTIMATOR, CAPTURED, "torch eager fp16", "torch.compile fp16"} <= names
    assert GPU.batches == (1, 8, 32)
    assert set(GPU.networks) == {"fast", "resnet34-skip", "resnet34-seed", "fcrn"}
