import io
import json
import zipfile
from pathlib import Path

import numpy as np
import onnx.numpy_helper
import pytest

from mde_runtime import BadInputError
from mde_runtime.bundle import GOLDEN, MANIFEST, certificate_name, graph_name, read_bundle, stored_zip
from mde_runtime.certificate import read_certificate
from mde_runtime.files import sha256_of


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewrite(path: Path, changed: dict[str, bytes]) -> None:
    path.write_bytes(stored_zip(changed))


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
    with pytest.raises(BadInputError, match=r"graphs/fp32\.onnx is there twice"):
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
def test_golden_arrays_in_a_zip_of_a_kind_that_is_not_read_are_refused(tiny_bundle, at, value):
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


def test_golden_frames_of_another_size_are_refused(make_bundle, tiny_depth, tiny_frames):
    bundle = make_bundle(depth_m=tiny_depth(tiny_frames)[:, :12])
    with pytest.raises(BadInputError, match=r"golden depth_m is float32 \(8, 12, 32\), not float32 \(8, 24, 32\)"):
        read_bundle(bundle).golden()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_golden_depth_that_is_no_number_is_refused(tiny_bundle, tiny_frames, tiny_depth, bad):
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


def with_member(bundle: Path, name: str, member: bytes) -> None:
    """Give a bundle another member, and a manifest that vouches for it."""
    content = members(bundle)
    manifest = json.loads(content[MANIFEST])
    manifest["members"][name] = {"sha256": sha256_of(member), "size_bytes": len(member)}
    rewrite(bundle, {**content, name: member, MANIFEST: json.dumps(manifest).encode()})


def with_golden(bundle: Path, golden: bytes) -> None:
    """Give a bundle other golden arrays, and a manifest that vouches for them."""
    with_member(bundle, GOLDEN, golden)


def test_a_pickle_among_the_golden_arrays_does_not_run(tiny_bundle, tmp_path):
    golden = io.BytesIO()
    np.savez(golden, frames=np.array([Bomb(tmp_path / "exploded")], dtype=object), depth_m=np.zeros(1))
    with_golden(tiny_bundle, golden.getvalue())
    with pytest.raises(BadInputError, match=r"golden\.npz: not the arrays frames, depth_m"):
        read_bundle(tiny_bundle).golden()
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("header", [b"{'descr': (((\n", b"{'descr': '<f4', 'shape': (1,\n", b"\0\0\n", b"[[[[[[\n"])
def test_a_damaged_header_of_the_golden_arrays_is_refused(tiny_bundle, header: bytes):
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


def test_golden_arrays_that_unpack_to_more_than_their_size_are_refused(make_bundle):
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


def test_a_graph_that_takes_values_from_another_file_is_refused(make_bundle, tiny_graph):
    bundle = read_bundle(make_bundle(graphs={"fp32": tiny_graph(), "fp16": outside(tiny_graph("FLOAT16"))}))
    assert bundle.graph("fp32")
    with pytest.raises(BadInputError, match=r"tiny\.mde: graphs/fp16\.onnx: the tensor 'far' takes its values from"):
        bundle.graph("fp16")


def test_what_is_no_graph_is_refused(make_bundle):
    with pytest.raises(BadInputError, match=r"tiny\.mde: graphs/fp32\.onnx is no ONNX graph"):
        read_bundle(make_bundle(graphs={"fp32": b"no graph"})).graph("fp32")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"graph_sha256": "0" * 64}, "is of another graph"),
        ({"precision": "fp32"}, "is of another graph"),
        ({"limits": {"rmse_worst_m": -1.0}}, r"its graph did not pass \(RMSE of the worst frame is"),
        ({"parity": {"num_nonfinite": 3}}, r"its graph did not pass \(3 values were NaN or Inf"),
    ],
)
def test_a_certificate_that_its_graph_has_not_earned_is_refused(tiny_bundle, change, complaint):
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
