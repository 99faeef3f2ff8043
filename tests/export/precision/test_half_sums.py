"""A device that adds up in half: its figure is stated, verification refuses it, and an export can make it pass.

Arm cores with FP16 arithmetic round the sum after every product. The stand-in here does so in numpy's float16, over the
graph in the bundle.
"""

import contextlib
from collections.abc import Mapping

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator
from onnx.reference.ops.op_conv import Conv as ExactConv

from mde_export.graph.canonical import from_bytes, to_bytes
from mde_export.judge.certify import attempt, certificate_of
from mde_export.judge.execute import Executor
from mde_export.precision.emulate import emulated
from mde_export.precision.islands import names_in
from mde_export.precision.lower import lowered_to_fp16, with_half_sums
from mde_runtime import verify
from mde_runtime.bundle import Golden, Provenance, read_bundle, write_bundle
from mde_runtime.parity import AIM, measure
from mde_runtime.precision import Precision

LIMIT_M = 0.01  # over 20 m
NUM_GOLDEN = 4


@contextlib.contextmanager
def silent(_name, _total=None):
    yield lambda: None


class Conv(ExactConv):
    """A convolution of 1x1 whose sum is rounded to half after every product, where its input is half."""

    def _run(self, x, weight, bias=None, **attributes):
        if x.dtype != np.float16:
            return super()._run(x, weight, bias, **attributes)
        total = np.zeros((x.shape[0], weight.shape[0], *x.shape[2:]), np.float16)
        for channel in range(x.shape[1]):
            product = x[:, channel : channel + 1].astype(np.float32) * weight[:, channel, 0, 0, None, None]
            total = (total.astype(np.float32) + product).astype(np.float16)
        return (total if bias is None else (total + bias[:, None, None]).astype(np.float16),)


class ArmStandIn:
    """The bundle's graph in numpy, half where it is half."""

    executor = device = "stand-in for an Arm core"
    max_batch: int | None = 1
    arithmetic: Mapping[Precision, str] = {"fp32": "fp32", "fp16": "fp16", "int8": "int8"}

    def __init__(self, graph: bytes):
        self._graph = ReferenceEvaluator(onnx.ModelProto.FromString(graph), new_ops=[Conv])

    def run(self, feeds, _out=None):
        return dict(zip(self._graph.output_names, self._graph.run(None, dict(feeds)), strict=True))

    def close(self) -> None:
        """Nothing is held."""


@pytest.fixture
def long_sums(world):
    """A layer of 192 products whose sum rises to 6 and comes back below 1: exact weights, so only sums are rounded."""
    ups = [17 / 128] * 96 + [-15 / 128] * 96
    body = f"[wide] t = Concat <axis = 1> ({', '.join(['b'] * 64)}) [layer] o = Conv (t, ups) "
    return world(body + "[join] c = Concat <axis = 1> (o, o, o)", ups=ups)


def bundle_of(path, model, evidence, trial):
    """A bundle of the FP32 graph and of a trial's, with the first frames as golden ones."""
    trials = (attempt("fp32", to_bytes(model), evidence), trial)
    golden = Golden(evidence.pictures.frames[:NUM_GOLDEN], evidence.depth_m[:NUM_GOLDEN])
    graphs = {each.precision: each.graph for each in trials}
    certificates = {each.precision: certificate_of(each, evidence, None) for each in trials}
    write_bundle(
        path, evidence.contract, Provenance("onnx", "sums", "0" * 64, None, None, {}), graphs, certificates, golden
    )
    return read_bundle(path)


def test_a_device_that_adds_up_in_half_is_over_a_centimetre_off_and_verification_refuses_it(long_sums, tmp_path):
    model, evidence = long_sums
    trial = lowered_to_fp16(model, evidence, silent)
    assert trial.parity.rmse_worst_m < AIM * LIMIT_M  # with sums in FP32
    bundle = bundle_of(tmp_path / "sums.mde", model, evidence, trial)
    on_arm = verify.verify(bundle, "onnxruntime-cpu", "fp16", ArmStandIn(bundle.graph("fp16")))
    assert on_arm.parity.rmse_worst_m > LIMIT_M
    assert not on_arm.passed
    assert verify.verify(bundle, "onnxruntime-cpu", "fp32", ArmStandIn(bundle.graph("fp32"))).passed


def test_the_certificate_states_the_figure_with_sums_in_half_of_the_worst_frames(long_sums):
    model, evidence = long_sums
    trial = with_half_sums(lowered_to_fp16(model, evidence, silent), evidence, silent)
    stated = certificate_of(trial, evidence, None).half_accumulation
    assert stated.rmse_worst_m > trial.parity.rmse_worst_m
    graph = to_bytes(emulated(from_bytes(trial.graph), "half"))
    frame = int(np.argmax(np.square(trial.depth_m[:] - evidence.depth_m[:]).mean(axis=(1, 2))))
    depth_m, _ = Executor(graph, literal=True).depth(evidence.pictures.frames[frame : frame + 1])
    alone = measure(depth_m, evidence.depth_m[frame : frame + 1], 0, evidence.contract)
    assert 1 < stated.num_frames < 64
    assert stated.rmse_worst_m >= alone.rmse_worst_m > 0


def test_a_sum_that_overflows_in_half_alone_is_stated_by_its_count(world):
    ups = [2000.0] * 96 + [-1999.0] * 96  # up to 96000 and back to 48
    wide = f"[wide] t = Concat <axis = 1> ({', '.join(['b'] * 64)}) [layer] o = Conv (t, ups) [less] p = Mul (o, k) "
    model, evidence = world(wide + "[join] c = Concat <axis = 1> (p, p, p)", ups=ups, k=1 / 64)
    trial = with_half_sums(lowered_to_fp16(model, evidence, silent), evidence, silent)
    assert trial.breaches == ()
    assert trial.half_accumulation.num_nonfinite > 0
    assert np.isfinite(trial.half_accumulation.rmse_worst_m)  # JSON knows no NaN


def test_fp16_alone_has_that_figure(long_sums):
    model, evidence = long_sums
    trial = attempt("fp32", to_bytes(model), evidence)
    assert with_half_sums(trial, evidence, silent).half_accumulation is None


def test_where_sums_in_half_must_pass_what_adds_up_too_much_stays_float(long_sums, tmp_path):
    model, evidence = long_sums
    trial = lowered_to_fp16(model, evidence, silent, accumulation="half")
    assert trial.breaches == ()
    assert "layer" in names_in(trial.kept_fp32)
    assert "layer" not in names_in(lowered_to_fp16(model, evidence, silent).kept_fp32)
    assert trial.half_accumulation.num_frames == 64
    assert trial.half_accumulation.rmse_worst_m <= AIM * LIMIT_M
    bundle = bundle_of(tmp_path / "sums.mde", model, evidence, trial)
    assert verify.verify(bundle, "onnxruntime-cpu", "fp16", ArmStandIn(bundle.graph("fp16"))).passed
