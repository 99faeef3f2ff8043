import dataclasses
import json
import sys
import types

import numpy as np
import onnx.parser
import pytest

from mde_runtime import BadInputError, DepthEstimator, VerdictError, machine
from mde_runtime.backends import Backend, open_session
from mde_runtime.backends.null import NullSession
from mde_runtime.bundle import read_bundle
from mde_runtime.cache import cache_dir
from mde_runtime.certificate import Island
from mde_runtime.machine import TELLING_FLAGS, this_machine
from mde_runtime.verify import NotHere, Verification, keep_worst, recorded, verify, verify_everywhere, without_backend


def verified(path, precision="fp32"):
    bundle = read_bundle(path)
    session = open_session("onnxruntime-cpu", bundle.graph(precision))
    return bundle, session, verify(bundle, "onnxruntime-cpu", precision, session)


def test_a_verification_says_what_ran_where_and_how_far_off_it_was(tiny_bundle):
    bundle, session, made = verified(tiny_bundle)
    assert made.passed
    assert made.executor == session.executor
    assert made.device == this_machine().cpu
    assert made.instruction_set == this_machine().instruction_set
    assert made.parity.num_frames == len(bundle.golden().frames)


def test_a_record_is_kept_and_found(tiny_bundle):
    bundle, session, made = verified(tiny_bundle)
    assert recorded(bundle, "fp32", session) == made


@pytest.mark.parametrize("name", ["executor", "device"])
def test_a_record_of_another_executor_or_device_is_none(tiny_bundle, name):
    bundle, session, _ = verified(tiny_bundle)
    setattr(session, name, "another")
    assert recorded(bundle, "fp32", session) is None


class Engine(NullSession):
    """A session of an engine, as TensorRT's is: it says which, and how much of its work is done in half."""

    max_batch = 1

    def __init__(self, depth_m: np.ndarray, engine_sha256: str = "a" * 64, half: float | None = 1.0):
        self._depths, self.engine_sha256, self._half = iter(depth_m), engine_sha256, half

    def run(self, feeds, out=None):
        return super().run(feeds, out) | {"depth_m": next(self._depths)[None]}

    def share_in(self, arithmetic, without):  # noqa: ARG002  as the protocol has it
        return self._half if arithmetic == "fp16" else None


class Batched(NullSession):
    """The tiny network, wrong by 1 m in one place of every run that is as long."""

    def __init__(self, max_batch: int | None, wrong_place: int | None):
        self.max_batch, self._wrong_place = max_batch, wrong_place

    def run(self, feeds, out=None):
        depth_m = (feeds["frame"].astype(np.float32).mean(axis=-1) * np.float32(20 / 255)).astype(np.float32)
        if self._wrong_place is not None:
            depth_m[self._wrong_place : self._wrong_place + 1] += 1
        return super().run(feeds, out) | {"depth_m": depth_m}


@pytest.mark.parametrize(
    ("max_batch", "wrong_place"), [(None, 1), (None, 7), (4, 3), (12, 8), (12, 11)], ids=lambda value: str(value)
)
def test_every_place_of_the_largest_batch_is_verified(tiny_bundle, max_batch, wrong_place):
    bundle = read_bundle(tiny_bundle)
    wrong = verify(bundle, "null", "fp32", Batched(max_batch, wrong_place))
    assert not wrong.passed
    assert (wrong.parity.num_frames, wrong.parity.worst_frame < 8) == (8, True)
    assert verify(bundle, "null", "fp32", Batched(max_batch, None)).passed


@pytest.fixture
def caching(monkeypatch):
    """A backend that compiles once, keeps that, and loads it from then on, wrong by some metres."""

    class Compiled(NullSession):
        def __init__(self, is_from_cache: bool, offset_m: float):
            self.is_from_cache, self.offset_m = is_from_cache, offset_m

        def run(self, feeds, out=None):
            depth_m = (feeds["frame"].astype(np.float32).mean(axis=-1) * np.float32(20 / 255)).astype(np.float32)
            return super().run(feeds, out) | {"depth_m": depth_m + np.float32(self.offset_m)}

    def backend(offset_m: float) -> list[bool]:
        opened = []

        def open_it(_graph, _variant, _num_threads):
            opened.append(bool(opened))
            return Compiled(opened[-1], offset_m if opened[-1] else 0.0)

        module = types.ModuleType("caching_backend")
        module.open = open_it
        monkeypatch.setitem(sys.modules, module.__name__, module)
        for table in ("mde_runtime.backends.BACKENDS", "mde_runtime.choice.BACKENDS"):
            monkeypatch.setattr(table, {"caching": Backend(module.__name__, "", "cpu")})
        for table in ("mde_runtime.verify.LISTED", "mde_runtime.choice.LISTED"):
            monkeypatch.setattr(table, ("caching",))
        return opened

    return backend


@pytest.mark.parametrize(("offset_m", "passes"), [(0.0, True), (0.02, False)])
def test_what_a_backend_loads_from_its_cache_is_verified_as_well(tiny_bundle, caching, offset_m, passes):
    opened = caching(offset_m)
    rows = verify_everywhere(read_bundle(tiny_bundle), lambda: None)
    assert [(row.precision, row.is_from_cache, row.passed) for row in rows] == [
        ("fp32", True, passes),
        ("fp16", True, passes),
    ]
    assert opened == [False, True, True]


def test_a_model_that_is_another_when_it_is_loaded_from_a_cache_never_runs(tiny_bundle, caching):
    caching(0.02)
    with DepthEstimator.open(tiny_bundle, "caching", "fp32") as compiled:
        assert compiled.choice.is_newly_verified
    with pytest.raises(VerdictError, match="RMSE of the worst frame"):
        DepthEstimator.open(tiny_bundle, "caching", "fp32")


def test_a_model_that_is_loaded_is_verified_once_and_then_known(tiny_bundle, caching):
    caching(0.0)
    newly = []
    for _ in range(3):
        with DepthEstimator.open(tiny_bundle, "caching", "fp32") as estimate:
            newly.append(estimate.choice.is_newly_verified)
    assert newly == [True, True, False]


DAMAGES = {
    "malformed": lambda entry: entry.write_text('{"key": '),
    "empty": lambda entry: entry.write_bytes(b""),
    "a folder": lambda entry: (entry.unlink(), entry.mkdir()),
    "a link to itself": lambda entry: (entry.unlink(), entry.symlink_to(entry.name)),
    "writable for others": lambda entry: entry.chmod(0o666),
}


@pytest.mark.parametrize("num_openings", [1, 2])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_record_that_cannot_be_read_is_named_once_and_made_again_whichever_opening_made_it(
    tiny_bundle, caching, damage, num_openings
):
    caching(0.0)
    for _ in range(num_openings):  # the first compiles, the others load what it compiled
        DepthEstimator.open(tiny_bundle, "caching", "fp32").close()
    (entry,) = (cache_dir() / "verifications").iterdir()
    DAMAGES[damage](entry)
    named, newly = [], []
    for _ in range(2):
        with DepthEstimator.open(tiny_bundle, "caching", "fp32") as estimate:
            named.append(len(estimate.choice.ignored))
            newly.append(estimate.choice.is_newly_verified)
    assert (named, newly) == ([1, 0], [True, False])
    assert json.loads(entry.read_text())["record"]["loaded"]["precision"] == "fp32"


def test_verifying_what_is_loaded_keeps_what_is_known_of_the_compiled_model(tiny_bundle, caching):
    opened = caching(0.0)
    DepthEstimator.open(tiny_bundle, "caching", "fp32").close()
    DepthEstimator.open(tiny_bundle, "caching", "fp32").close()
    opened.clear()  # the backend's cache was lost: it compiles again
    with DepthEstimator.open(tiny_bundle, "caching", "fp32") as estimate:
        assert not estimate.choice.is_newly_verified
        assert not estimate.choice.verification.is_from_cache


def test_a_record_is_of_one_engine_alone(tiny_bundle):
    bundle = read_bundle(tiny_bundle)
    made = verify(bundle, "tensorrt", "fp16", Engine(bundle.golden().depth_m))
    assert recorded(bundle, "fp16", Engine(bundle.golden().depth_m)) == made
    assert recorded(bundle, "fp16", Engine(bundle.golden().depth_m, engine_sha256="b" * 64)) is None


def test_of_many_builds_the_worst_figures_are_kept_for_the_engine_that_is_there(tiny_bundle):
    bundle = read_bundle(tiny_bundle)
    depth_m = bundle.golden().depth_m
    good, bad, last = (
        verify(bundle, "tensorrt", "fp16", Engine(depth_m + offset_m, engine_sha256=name * 64))
        for name, offset_m in (("a", 0.0), ("b", 0.02), ("c", 0.001))
    )
    kept = keep_worst(bundle, [good, bad, last])
    assert (kept.engine_sha256, kept.parity, kept.passed) == (last.engine_sha256, bad.parity, False)
    assert recorded(bundle, "fp16", Engine(depth_m, engine_sha256="c" * 64)) == kept


@pytest.mark.parametrize(("half", "passes"), [(1.0, True), (0.95, True), (0.94, False), (None, True)])
def test_a_half_engine_that_does_not_compute_in_half_fails(tiny_bundle, half, passes):
    bundle = read_bundle(tiny_bundle)
    made = verify(bundle, "tensorrt", "fp16", Engine(bundle.golden().depth_m, half=half))
    assert made.passed == passes
    assert passes or made.breaches == ("only 94% of the multiply-adds outside the nodes kept in FP32 are done in half",)


def test_a_single_precision_engine_need_not_compute_in_half(tiny_bundle):
    bundle = read_bundle(tiny_bundle)
    assert verify(bundle, "tensorrt", "fp32", Engine(bundle.golden().depth_m, half=0.0)).passed


def test_a_record_of_another_instruction_set_is_none(tiny_bundle, monkeypatch):
    bundle, session, _ = verified(tiny_bundle)
    other = dataclasses.replace(this_machine(), instruction_set=("sse2",))
    monkeypatch.setattr("mde_runtime.verify.this_machine", lambda: other)
    assert recorded(bundle, "fp32", session) is None


@pytest.mark.parametrize("other", ["golden depth", "range", "certificate"])
def test_a_verification_decides_for_its_own_bundle_alone(make_bundle, tiny_contract, tiny_frames, tiny_depth, other):
    bundle, session, _ = verified(make_bundle("one.mde"))
    wide = dataclasses.replace(tiny_contract.from_network, far_m=1000.0)
    changes = {
        "golden depth": {"depth_m": tiny_depth(tiny_frames) + np.float32(0.001)},
        "range": {"contract": dataclasses.replace(tiny_contract, from_network=wide)},
        "certificate": {"kept_fp32": (Island(("mean",), "a reason", None),)},
    }
    another = read_bundle(make_bundle("another.mde", **changes[other]))
    assert another.graph_sha256("fp32") == bundle.graph_sha256("fp32")
    assert recorded(another, "fp32", session) is None
    assert recorded(bundle, "fp32", session) is not None


def test_a_record_of_another_graph_is_none(tiny_bundle, make_bundle, tiny_graph):
    verified(tiny_bundle)
    other = read_bundle(make_bundle("other.mde", {"fp32": tiny_graph(offset_m=0.001)}))
    assert recorded(other, "fp32", open_session("onnxruntime-cpu", other.graph("fp32"))) is None


def test_a_failing_verification_names_each_limit_that_does_not_hold(make_bundle, tiny_graph):
    _, _, made = verified(make_bundle(graphs={"fp32": tiny_graph(offset_m=0.02)}))
    assert [breach.split(" is ")[0] for breach in made.breaches] == ["RMSE of the worst frame", "|bias|"]


def test_a_half_graph_in_single_arithmetic_is_called_so(tiny_bundle):
    _, session, made = verified(tiny_bundle, "fp16")
    assert made.in_words == f"fp16 graph, {session.arithmetic['fp16']} arithmetic"
    assert verified(tiny_bundle, "fp32")[2].in_words == "fp32"


def test_a_graph_with_other_outputs_is_refused(make_bundle):
    graph = onnx.parser.parse_model("""
        <ir_version: 10, opset_import: ["": 20]>
        other (uint8[N, 24, 32, 3] frame) => (float[N, 24, 32, 3] values) { values = Cast <to = 1> (frame) }""")
    with pytest.raises(BadInputError, match=r"the fp32 graph gives values float32 \(1, 24, 32, 3\), not depth_m"):
        verified(make_bundle(graphs={"fp32": graph.SerializeToString()}))


def test_a_graph_whose_outputs_have_other_types_is_refused(make_bundle, tiny_graph):
    graph = onnx.load_from_string(tiny_graph())
    cast = next(node for node in graph.graph.node if node.output[0] == "counts")
    cast.attribute[0].i = graph.graph.output[1].type.tensor_type.elem_type = onnx.TensorProto.INT64
    with pytest.raises(BadInputError, match=r"num_nonfinite int64 \(1,\), not depth_m float32 .* int32 \(1,\);"):
        verified(make_bundle(graphs={"fp32": graph.SerializeToString()}))


def test_values_that_were_no_numbers_are_counted_and_fail(make_bundle, tiny_graph):
    bundle, session, made = verified(make_bundle(graphs={"fp32": tiny_graph(offset_m=float("nan"))}))
    assert recorded(bundle, "fp32", session) == made
    assert made.parity.num_nonfinite == 8 * 24 * 32
    assert f"{8 * 24 * 32} values were NaN or Inf before the clip" in made.breaches


def test_every_backend_gets_its_row_and_a_missing_one_its_reason(tiny_bundle):
    steps = []
    rows = verify_everywhere(read_bundle(tiny_bundle), lambda: steps.append(1))
    assert len(rows) == len(steps)
    assert any(isinstance(row, Verification) and row.passed for row in rows)
    assert all(row.reason for row in rows if isinstance(row, NotHere))
    assert without_backend(rows) == []


def test_a_precision_that_nothing_passed_with_is_left_without(tiny_bundle):
    rows = verify_everywhere(read_bundle(tiny_bundle), lambda: None)
    assert without_backend([row for row in rows if row.precision == "fp32" or isinstance(row, NotHere)]) == ["fp16"]


def test_the_machine_is_described_by_flags_that_tell():
    described = this_machine()
    assert described.cpu
    assert described.num_cores >= 1
    assert [flag for flag in TELLING_FLAGS if flag in described.instruction_set] == list(described.instruction_set)


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        ("model name\t: A\nflags\t\t: fpu avx avx2 sse\n\nmodel name\t: B\n", ("avx", "avx2")),
        ("processor\t: 0\nFeatures\t: fp asimd asimdhp\n", ("asimd", "asimdhp")),
    ],
)
def test_flags_are_read_on_intel_and_arm(tmp_path, monkeypatch, text, flags):
    (tmp_path / "cpuinfo").write_text(text)
    real = machine.Path
    monkeypatch.setattr(
        machine, "Path", lambda path: real(tmp_path / "cpuinfo") if path == "/proc/cpuinfo" else real(path)
    )
    assert this_machine.__wrapped__().instruction_set == flags
