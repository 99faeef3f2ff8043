import io
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import onnx.numpy_helper
import pytest

from mde_runtime import BadInputError
from mde_runtime.bundle import (
    GOLDEN,
    MANIFEST,
    Provenance,
    certificate_name,
    graph_name,
    read_bundle,
    stored_zip,
    write_bundle,
)
from mde_runtime.certificate import read_certificate


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewrite(path: Path, changed: dict[str, bytes]) -> None:
    path.write_bytes(stored_zip(changed))


def npz(**arrays: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()


def read_all(path: Path) -> None:
    bundle = read_bundle(path)
    for precision in bundle.precisions:
        bundle.graph(precision)
        bundle.certificate(precision)
    bundle.golden()


def test_a_bundle_gives_back_what_was_written(tiny_bundle, tiny_contract, tiny_graph, tiny_frames, tiny_depth):
    bundle = read_bundle(tiny_bundle)
    assert bundle.contract == tiny_contract
    assert bundle.precisions == ("fp32", "fp16")
    assert bundle.graph("fp32") == tiny_graph()
    assert bundle.certificate("fp16").precision == "fp16"
    np.testing.assert_array_equal(bundle.golden().frames, tiny_frames)
    np.testing.assert_array_equal(bundle.golden().depth_m, tiny_depth(tiny_frames))


def test_the_same_content_gives_the_same_bytes(make_bundle):
    assert make_bundle("one.mde").read_bytes() == make_bundle("two.mde").read_bytes()


def test_any_zip_tool_opens_it_and_nothing_is_compressed(tiny_bundle):
    with zipfile.ZipFile(tiny_bundle) as archive:
        assert archive.testzip() is None
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}


@pytest.mark.parametrize("name", [GOLDEN, "graphs/fp32.onnx", "graphs/fp16.onnx", "certificates/fp16.json", MANIFEST])
def test_a_missing_member_is_named(tiny_bundle, name):
    rewrite(tiny_bundle, {key: value for key, value in members(tiny_bundle).items() if key != name})
    with pytest.raises(BadInputError, match=f"the member {name} is missing"):
        read_all(tiny_bundle)


@pytest.mark.parametrize("name", [GOLDEN, "graphs/fp32.onnx", "certificates/fp16.json"])
def test_an_altered_member_is_named(tiny_bundle, name):
    content = members(tiny_bundle)
    altered = bytearray(content[name])
    altered[len(altered) // 2] ^= 1
    rewrite(tiny_bundle, {**content, name: bytes(altered)})
    with pytest.raises(BadInputError, match=f"{name} was altered"):
        read_all(tiny_bundle)


def test_a_member_of_another_length_is_named(tiny_bundle):
    content = members(tiny_bundle)
    rewrite(tiny_bundle, {**content, GOLDEN: content[GOLDEN] + b"x"})
    with pytest.raises(BadInputError, match=rf"golden\.npz has {len(content[GOLDEN]) + 1} bytes, the manifest says"):
        read_bundle(tiny_bundle)


@pytest.mark.filterwarnings("ignore:Duplicate name")  # that is what this test is about
def test_a_doubled_member_is_named(tiny_bundle):
    with zipfile.ZipFile(tiny_bundle, "a") as archive:
        archive.writestr(graph_name("fp32"), b"another graph")
    with pytest.raises(BadInputError, match=r"graphs/fp32\.onnx appears twice"):
        read_bundle(tiny_bundle)


@pytest.mark.parametrize("name", ["../evil", "graphs/fp64.onnx", "plugin.so", "graphs/", "/etc/passwd"])
def test_an_unknown_member_is_refused(tiny_bundle, name):
    with zipfile.ZipFile(tiny_bundle, "a") as archive:
        archive.writestr(name, b"")
    with pytest.raises(BadInputError, match="unknown member"):
        read_bundle(tiny_bundle)


def test_a_known_member_that_the_manifest_does_not_list_is_refused(tiny_bundle):
    with zipfile.ZipFile(tiny_bundle, "a") as archive:
        archive.writestr("graphs/int8.onnx", b"")
    with pytest.raises(BadInputError, match=r"graphs/int8\.onnx is not in the manifest"):
        read_bundle(tiny_bundle)


def test_a_compressed_member_is_refused(tiny_bundle):
    content = members(tiny_bundle)
    with zipfile.ZipFile(tiny_bundle, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in content.items():
            archive.writestr(name, value)
    with pytest.raises(BadInputError, match="is compressed or encrypted"):
        read_bundle(tiny_bundle)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_bundle_is_refused(tiny_bundle, share):
    content = tiny_bundle.read_bytes()
    tiny_bundle.write_bytes(content[: int(len(content) * share)])
    # Cut a little, a small bundle ends with the directory of golden.npz, which is a zip of its own.
    with pytest.raises(BadInputError, match=r"not a bundle, or cut short|the member manifest\.json is missing"):
        read_bundle(tiny_bundle)


def test_a_byte_flipped_anywhere_is_an_error_or_changes_nothing(tiny_bundle):
    """The zip's own headers may be altered without effect; no other content ever comes back."""
    content, before = tiny_bundle.read_bytes(), members(tiny_bundle)
    for at in np.random.default_rng(3).integers(0, len(content), 150):
        altered = bytearray(content)
        altered[at] ^= 0x11
        tiny_bundle.write_bytes(altered)
        try:
            bundle = read_bundle(tiny_bundle)
            found = {graph_name(precision): bundle.graph(precision) for precision in bundle.precisions}
        except BadInputError:
            continue
        assert found == {name: before[name] for name in found}


NUM_BYTES, FLAGS, VERSION_NEEDED = 46, 8, 6  # of an entry of a zip's directory before its name; and where in it


@pytest.mark.parametrize(("at", "value"), [(FLAGS, 0x20), (FLAGS, 0x40), (VERSION_NEEDED, 99)])
@pytest.mark.parametrize("name", [MANIFEST, "graphs/fp32.onnx", GOLDEN])
def test_a_zip_of_a_kind_that_is_not_read_is_refused(tiny_bundle, name, at, value):
    content = bytearray(tiny_bundle.read_bytes())
    entry = content.rindex(name.encode()) - NUM_BYTES
    content[entry + at] |= value
    tiny_bundle.write_bytes(content)
    with pytest.raises(BadInputError, match=r"cannot be read|not a bundle"):
        read_all(tiny_bundle)


@pytest.mark.parametrize(("at", "value"), [(FLAGS, 0x01), (FLAGS, 0x20), (FLAGS, 0x40), (VERSION_NEEDED, 99)])
def test_golden_arrays_in_a_zip_of_a_kind_that_is_not_read_are_refused(tiny_bundle, at, value, with_golden):
    golden = bytearray(members(tiny_bundle)[GOLDEN])
    golden[golden.rindex(b"depth_m.npy") - NUM_BYTES + at] |= value
    with_golden(tiny_bundle, bytes(golden))
    with pytest.raises(BadInputError, match=r"golden\.npz: not the arrays frames, depth_m"):
        read_bundle(tiny_bundle).golden()


def test_a_bundle_of_a_later_schema_is_refused(tiny_bundle):
    content = members(tiny_bundle)
    rewrite(tiny_bundle, {**content, MANIFEST: content[MANIFEST].replace(b'"schema": 2', b'"schema": 3')})
    with pytest.raises(BadInputError, match="bundle schema 3, this version reads 1 to 2; update"):
        read_bundle(tiny_bundle)


def test_golden_frames_of_another_size_are_refused(tiny_bundle, tiny_depth, tiny_frames, with_golden):
    with_golden(tiny_bundle, npz(frames=tiny_frames, depth_m=tiny_depth(tiny_frames)[:, :12]))
    with pytest.raises(BadInputError, match=r"golden depth_m is float32 \(8, 12, 32\), not float32 \(8, 24, 32\)"):
        read_bundle(tiny_bundle).golden()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_golden_depth_that_is_no_number_is_refused(tiny_bundle, tiny_frames, tiny_depth, bad, with_golden):
    golden, depth_m = io.BytesIO(), tiny_depth(tiny_frames)
    depth_m[3, 4, 5] = bad
    np.savez(golden, frames=tiny_frames, depth_m=depth_m)
    with_golden(tiny_bundle, golden.getvalue())
    with pytest.raises(BadInputError, match="golden depth_m holds NaN or infinity"):
        read_bundle(tiny_bundle).golden()


class Bomb:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return (Path.touch, (self.path,))


@pytest.fixture
def with_golden(with_member):
    """Give a bundle other golden arrays."""
    return lambda bundle, golden: with_member(bundle, GOLDEN, golden)


def test_a_pickle_among_the_golden_arrays_does_not_run(tiny_bundle, tmp_path, with_golden):
    golden = io.BytesIO()
    np.savez(golden, frames=np.array([Bomb(tmp_path / "exploded")], dtype=object), depth_m=np.zeros(1))
    with_golden(tiny_bundle, golden.getvalue())
    with pytest.raises(BadInputError, match=r"golden\.npz: not the arrays frames, depth_m"):
        read_bundle(tiny_bundle).golden()
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("header", [b"{'descr': (((\n", b"{'descr': '<f4', 'shape': (1,\n", b"\0\0\n", b"[[[[[[\n"])
def test_a_damaged_header_of_the_golden_arrays_is_refused(tiny_bundle, header: bytes, with_golden):
    golden = io.BytesIO()
    with zipfile.ZipFile(golden, "w") as archive:
        for name in ("frames", "depth_m"):
            archive.writestr(f"{name}.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    with_golden(tiny_bundle, golden.getvalue())
    with pytest.raises(BadInputError, match=r"golden\.npz: not the arrays frames, depth_m"):
        read_bundle(tiny_bundle).golden()


def test_a_file_that_is_not_there_is_said_so(tmp_path):
    with pytest.raises(BadInputError, match=r"nowhere\.mde: no such file"):
        read_bundle(tmp_path / "nowhere.mde")


def test_golden_arrays_that_unpack_to_more_than_their_size_are_refused(make_bundle, with_golden):
    bundle = make_bundle("one.mde")
    packed = io.BytesIO()
    np.savez_compressed(packed, frames=np.zeros((8, 24, 32, 3), np.uint8), depth_m=np.zeros((8, 24, 32), np.float32))
    with_golden(bundle, packed.getvalue())
    with pytest.raises(BadInputError, match="its arrays are compressed or overlap"):
        read_bundle(bundle).golden()


def outside(graph: bytes) -> bytes:
    """The graph with one more tensor, whose values are in another file."""
    model = onnx.load_from_string(graph)
    tensor = onnx.numpy_helper.from_array(np.float32([1]), "far")
    onnx.external_data_helper.set_external_data(tensor, "../secret.bin")
    tensor.ClearField("raw_data")
    model.graph.initializer.append(tensor)
    return model.SerializeToString()


def test_a_graph_that_takes_values_from_another_file_is_refused(tiny_bundle, tiny_graph, with_member):
    with_member(tiny_bundle, "graphs/fp16.onnx", outside(tiny_graph("FLOAT16")))
    bundle = read_bundle(tiny_bundle)
    assert bundle.graph("fp32")
    with pytest.raises(BadInputError, match=r"tiny\.mde: graphs/fp16\.onnx: the tensor 'far' reads its values from"):
        bundle.graph("fp16")


def test_what_is_no_graph_is_refused(tiny_bundle, with_member):
    with_member(tiny_bundle, "graphs/fp32.onnx", b"no graph")
    with pytest.raises(BadInputError, match=r"tiny\.mde: graphs/fp32\.onnx is not an ONNX graph"):
        read_bundle(tiny_bundle).graph("fp32")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"graph_sha256": "0" * 64}, "belongs to another graph"),
        ({"precision": "fp32"}, "belongs to another graph"),
        ({"parity": {"rmse_worst_m": 1.0}}, r"its graph did not pass \(RMSE of the worst frame is"),
        ({"parity": {"num_nonfinite": 3}}, r"its graph did not pass \(3 values were NaN or Inf"),
    ],
)
def test_a_certificate_that_its_graph_has_not_earned_is_refused(tiny_bundle, change, complaint, with_member):
    name = "certificates/fp16.json"
    certificate = json.loads(members(tiny_bundle)[name])
    for key, value in change.items():
        certificate[key] = {**certificate[key], **value} if isinstance(value, dict) else value
    with_member(tiny_bundle, name, json.dumps(certificate).encode())
    assert read_bundle(tiny_bundle).certificate("fp32")
    with pytest.raises(BadInputError, match=rf"certificates/fp16\.json:? {complaint}"):
        read_bundle(tiny_bundle).certificate("fp16")


def test_a_certificate_of_a_precision_that_is_not_there_is_said_so(tiny_bundle):
    with pytest.raises(BadInputError, match="has no int8 graph"):
        read_bundle(tiny_bundle).certificate("int8")


FIRST_SCHEMA = Path(__file__).parent / "formats" / "bundle_schema_1.mde"


def test_a_bundle_of_the_first_schema_is_read_and_says_what_it_does_not_know():
    bundle = read_bundle(FIRST_SCHEMA)
    certificate = bundle.certificate("fp16")
    assert (bundle.manifest.schema, certificate.schema) == (1, 1)
    assert (certificate.parity.r2, certificate.parity.abs_rel, certificate.limits.r2) == (None, None, None)
    assert len(bundle.golden().frames) == 8


def test_a_certificate_of_this_schema_has_to_state_all_figures(tiny_bundle):
    text = json.loads(members(tiny_bundle)[certificate_name("fp32")])
    del text["parity"]["r2"]
    with pytest.raises(BadInputError, match="'r2' is missing"):
        read_certificate(json.dumps(text).encode(), "certificate")


def test_a_certificate_of_a_later_schema_is_refused(tiny_bundle):
    text = members(tiny_bundle)[certificate_name("fp32")].replace(b'"schema": 2', b'"schema": 3')
    with pytest.raises(BadInputError, match="certificate schema 3, this version reads 1 and 2; update"):
        read_certificate(text, "certificate")


IMPOSSIBLE = {
    "num_frames": 0,
    "reference_std_m": -1.0,
    "rmse_m": -1e-9,
    "rmse_worst_m": -1e-9,
    "worst_frame": 8,
    "p999_m": 1e-3,  # more than the largest difference
    "max_abs_m": -1.0,
    "bias_m": 1e-3,  # more than the RMSE
    "ssim_worst": 1.1,
    "r2": 1.1,
    "abs_rel": -0.1,
    "delta1": 1.1,
    "num_nonfinite": -1,
}


@pytest.mark.parametrize("part", ["parity", "derived_from"])
@pytest.mark.parametrize("figure", IMPOSSIBLE)
def test_a_figure_that_nothing_can_measure_is_refused_and_named(tiny_bundle, figure, part):
    certificate = json.loads(members(tiny_bundle)[certificate_name("fp32")])
    certificate[part] = {**certificate["parity"], figure: IMPOSSIBLE[figure]}
    with pytest.raises(BadInputError, match=rf"certificate: {part}: {figure} is .*, which is impossible"):
        read_certificate(json.dumps(certificate).encode(), "certificate")


@pytest.mark.parametrize(
    "limits",
    [
        {"rmse_worst_m": 1e9},
        {"rmse_worst_m": 0.005},
        {"p999_m": None, "bias_m": None, "ssim_worst": None},
        {"r2": None},
        {"num_nonfinite": 1},
    ],
)
@pytest.mark.parametrize("schema", [1, 2])
def test_limits_other_than_those_of_precision_and_range_are_refused(tiny_bundle, with_member, limits, schema):
    certificate = json.loads(members(tiny_bundle)[certificate_name("fp32")])
    certificate["limits"].update(limits)
    if schema == 1:
        for part, name in (("limits", "r2"), ("parity", "r2"), ("parity", "abs_rel")):
            del certificate[part][name]
        del certificate["schema"]
    with_member(tiny_bundle, certificate_name("fp32"), json.dumps(certificate).encode())
    if schema == 1 and "r2" in limits:  # the first schema had no limit for it
        assert read_bundle(tiny_bundle).certificate("fp32")
        return
    with pytest.raises(BadInputError, match=r"fp32\.json: its limits do not match fp32 over the contract's"):
        read_bundle(tiny_bundle).certificate("fp32")


@pytest.mark.parametrize("count", [9, 3000])
def test_a_bundle_of_many_members_is_refused(tmp_path, count):
    path = tmp_path / "many.mde"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(MANIFEST, "{}")
        for index in range(count):
            archive.writestr(f"{index:07d}", b"")
    with pytest.raises(BadInputError, match=r"many\.mde: unknown member '0000000'"):
        read_bundle(path)


def test_golden_arrays_with_others_beside_them_are_refused(tiny_bundle, tiny_frames, tiny_depth, with_golden):
    with_golden(tiny_bundle, npz(frames=tiny_frames, depth_m=tiny_depth(tiny_frames), more=np.zeros(3)))
    with pytest.raises(BadInputError, match=r"golden\.npz: not the arrays frames, depth_m alone"):
        read_bundle(tiny_bundle).golden()


def test_a_golden_array_that_is_none_is_refused(tiny_bundle, with_golden):
    with_golden(tiny_bundle, stored_zip({"frames.npy": b"garbage", "depth_m.npy": b""}))
    with pytest.raises(
        BadInputError, match=r"golden\.npz: not the arrays frames, depth_m \(one of them is not a \.npy"
    ):
        read_bundle(tiny_bundle).golden()


@pytest.mark.parametrize(("kind", "make"), [("a FIFO", os.mkfifo), ("a folder", os.mkdir)])
def test_what_is_no_regular_file_is_no_bundle(tmp_path, kind, make):
    make(tmp_path / "x.mde")
    with pytest.raises(BadInputError, match=rf"x\.mde: is {kind}, which is not read"):
        read_bundle(tmp_path / "x.mde")


def test_a_device_is_no_bundle():
    with pytest.raises(BadInputError, match="/dev/zero: is a device, which is not read"):
        read_bundle(Path("/dev/zero"))


def with_foreign_node(graph: bytes) -> bytes:
    model = onnx.load_from_string(graph)
    model.graph.node.append(onnx.helper.make_node("Gelu", ["raw"], ["unused"], domain="com.microsoft"))
    return model.SerializeToString()


def test_a_graph_with_an_operator_of_its_own_is_refused(tiny_bundle, tiny_graph, with_member):
    with_member(tiny_bundle, graph_name("fp32"), with_foreign_node(tiny_graph()))
    with pytest.raises(BadInputError, match=r"fp32\.onnx: 'com\.microsoft\.Gelu' is not a standard ONNX operator"):
        read_bundle(tiny_bundle).graph("fp32")


def test_an_fp32_graph_with_half_tensors_is_refused(tiny_bundle, tiny_graph, with_member):
    with_member(tiny_bundle, graph_name("fp32"), tiny_graph("FLOAT16"))
    with pytest.raises(BadInputError, match=r"fp32\.onnx: has half-precision tensors"):
        read_bundle(tiny_bundle).graph("fp32")


def nested(depth: int) -> list[object]:
    inner: list[object] = []
    for _ in range(depth):
        inner = [inner]
    return inner


@pytest.mark.parametrize(
    "provenance",
    [
        Provenance("onnx", "tiny", "0" * 64, None, nested(400), {}),
        Provenance("onnx", "tiny", "0" * 64, None, nested(100_000), {}),
        Provenance("onnx", "tiny", "0" * 64, ["a"], None, {}),
        Provenance("onnx", "tiny", "0" * 64, {1, 2}, None, {}),
        Provenance("onnx", "tiny", "0" * 64, None, float("nan"), {}),
    ],
    ids=["deep", "deeper than Python calls", "a hash that is a list", "a hash that is a set", "a recipe that is NaN"],
)
def test_a_bundle_that_no_reader_would_open_is_never_put_in_place(tiny_bundle, provenance):
    bundle, before = read_bundle(tiny_bundle), tiny_bundle.read_bytes()
    graphs = {precision: bundle.graph(precision) for precision in bundle.precisions}
    certificates = {precision: bundle.certificate(precision) for precision in bundle.precisions}
    with pytest.raises(
        BadInputError,
        match=r"^(the bundle's manifest\.json cannot be written|no bundle was written; it could not be opened again)",
    ) as problem:
        write_bundle(tiny_bundle, bundle.contract, provenance, graphs, certificates, bundle.golden())
    assert ".tiny" not in str(problem.value)  # the draft's name
    assert tiny_bundle.read_bytes() == before
    assert list(tiny_bundle.parent.glob(".*")) == []


@pytest.mark.parametrize(
    "change",
    [
        {"truth_rmse_m": [1.0, -1.0]},
        {"kept_fp32": [{"nodes": ["a"], "reason": "why", "rmse_worst_without_m": -1.0}]},
    ],
)
def test_a_negative_rmse_beside_the_parity_is_refused(tiny_bundle, change):
    certificate = {**json.loads(members(tiny_bundle)[certificate_name("fp32")]), **change}
    with pytest.raises(BadInputError, match="certificate: it has a negative RMSE"):
        read_certificate(json.dumps(certificate).encode(), "certificate")
