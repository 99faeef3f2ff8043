"""Models from elsewhere: ONNX files, anyone's PyTorch, bundles. What they leave open is refused, naming the flag."""

import contextlib
import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from mde_export.cli import main
from mde_export.graph.canonical import to_bytes
from mde_export.graph.graft import graft, ungraft
from mde_export.graph.load_onnx import load_onnx
from mde_export.sources.bundle import at_source_size
from mde_export.sources.foreign import network_from_onnx
from mde_runtime import files, installation, records
from mde_runtime.bundle import read_bundle, write_bundle
from mde_runtime.errors import MdeError


def mde_export(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], prog_name="mde-export")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    """64 pictures of single colours and a little noise."""
    folder, chance = tmp_path_factory.mktemp("pictures"), np.random.default_rng(2)
    for index in range(64):
        pixels = chance.integers(20, 235, (1, 1, 3)) + chance.integers(-20, 21, (12, 20, 3))
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{index}.png")
    return folder


@pytest.fixture
def described(tmp_path, contract):
    """Write a contract: `described(near_m=0.5)` gives its file."""

    def write(**changes) -> Path:
        path = tmp_path / "contract.json"
        path.write_text(records.dumps(contract(**changes)))
        return path

    return write


@pytest.fixture
def save_graph(tmp_path):
    """Write a disparity network as anyone would export it: symbolic batch and size, BatchNorm, two outputs."""

    def save(opset: int = 17) -> Path:
        text = f"""<ir_version: 8, opset_import: ["" : {opset}]>
            net (float[N,3,H,W] image) => (float[N,1,A,B] disparity, float[N,4,A,B] features)
            <float[4] one = {{1, 1, 1, 1}}, float[4] zero = {{0, 0, 0, 0}}, int64[1] axis = {{1}}> {{
                a = Conv <pads = [1,1,1,1]> (image, w1)
                b = BatchNormalization (a, one, zero, zero, one)
                features = Relu (b)
                mixed = Conv (features, w3)
                disparity = Conv (mixed, w2)
            }}"""
        model, chance = onnx.parser.parse_model(text), np.random.default_rng(3)
        weights = {"w1": chance.normal(0, 0.1, (4, 3, 3, 3)), "w2": np.full((1, 4, 1, 1), 0.3)}
        weights["w3"] = np.eye(4)[..., None, None]  # the only layer that FP16 and INT8 lower
        for name, weight in weights.items():
            model.graph.initializer.append(onnx.numpy_helper.from_array(np.abs(weight).astype(np.float32), name))
        path = tmp_path / "foreign.onnx"
        onnx.save(model, path)
        return path

    return save


@pytest.fixture
def foreign(save_graph, described, pictures):
    """The arguments that export the foreign network."""
    contract = described(kind="relative_inverse_depth", near_m=0.5, mean=(0.5, 0.5, 0.5))
    return [save_graph(), "--contract", contract, "--frames", pictures, "--output", "disparity"]


TORCH = ("torch", "torchvision", "lightning")
FITTED = ("--scale", 1.0, "--shift", 0.15)


def test_a_foreign_graph_becomes_a_bundle_with_certificates_against_itself(foreign):
    result = mde_export(*foreign, *FITTED, "--fp16")
    assert result.exit_code == 0, result.stderr
    bundle = read_bundle(foreign[0].with_suffix(".mde"))
    assert bundle.precisions == ("fp32", "fp16")
    assert bundle.contract.from_network.shift == 0.15
    assert bundle.certificate("fp32").reference.startswith("foreign.onnx as given, in onnxruntime")
    operators = [node.op_type for node in onnx.ModelProto.FromString(bundle.graph("fp32")).graph.node]
    assert "BatchNormalization" not in operators


@pytest.mark.parametrize(
    ("left_out", "remedy"),
    [("--contract", "--contract FILE"), ("--output", "--output")],
)
def test_what_a_graph_leaves_open_is_refused_with_the_flag_that_says_it(foreign, left_out, remedy):
    at = foreign.index(left_out)
    result = mde_export(*foreign[:at], *foreign[at + 2 :], *FITTED)
    assert result.exit_code in (2, 3)
    assert remedy in result.stderr
    assert not foreign[0].with_suffix(".mde").exists()


FLAGS = {
    **{"--source-size": "12x20", "--network-size": "8x16", "--colour": "rgb", "--resize": "stretch"},
    **{"--interpolation": "bilinear", "--no-antialias": None, "--mean": "0.5,0.5,0.5", "--std": "1,1,1"},
    **{"--kind": "relative_inverse_depth", "--range": "0.5:20", "--distance": "z"},
}


def by_flags(foreign, *left_out: str) -> list[object]:
    """The foreign export with flags in place of its contract."""
    at = foreign.index("--contract")
    flags = [word for flag, value in FLAGS.items() if flag not in left_out for word in (flag, value) if word]
    return [*foreign[:at], *foreign[at + 2 :], *flags]


@pytest.mark.parametrize("model", ["", ".", "/"])
def test_a_model_without_a_name_is_no_file(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for also in ([], ["--dry-run"]):
        result = mde_export(model, *also)
        assert result.exit_code == 3
        assert "no such file" in result.stderr


@pytest.mark.parametrize(
    ("options", "exit_code", "reason"),
    [
        (
            ["-o", "foreign.onnx"],
            2,
            "foreign.onnx: is an input and would be overwritten; choose another place with -o",
        ),
        (["-o", "foreign.fp32.mde", "--emit", "."], 2, "contract.json: is an input"),
        (["-o", "plain/contract.json", "--emit", "plain"], 2, "would be both the bundle and a plain file"),
        (["-o", "."], 2, ".: is a folder; name another place with -o"),
        (["--frames", "nowhere"], 3, "nowhere: no such file or folder"),
        (["--measured", "nowhere.csv"], 3, "nowhere.csv: cannot be read"),
        (["--measured", "contract.json", "--scale", "2"], 2, "leave --scale and --shift out"),
        ([], 3, "relative depth without a scale"),
    ],
)
def test_a_dry_run_refuses_what_the_export_refuses(foreign, tmp_path, monkeypatch, options, exit_code, reason):
    monkeypatch.chdir(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    fitted = () if not options or "--measured" in options else FITTED
    for also in ([], ["--dry-run"]):
        result = mde_export("foreign.onnx", *foreign[1:], *fitted, *options, *also)
        assert result.exit_code == exit_code, result.stderr
        assert reason in result.stderr
        assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_plain_graphs_never_replace_the_graph_that_they_are_made_of(foreign, tmp_path):
    model = foreign[0].rename(tmp_path / "net.fp32.onnx")
    before = model.read_bytes()
    result = mde_export(model, *foreign[1:], *FITTED, "-o", tmp_path / "net.mde", "--emit", tmp_path)
    assert result.exit_code == 2
    assert "net.fp32.onnx: is an input and would be overwritten; choose another place with --emit" in result.stderr
    assert model.read_bytes() == before


def test_a_plain_file_that_cannot_be_written_leaves_no_bundle(foreign, tmp_path):
    (tmp_path / "taken").write_text("a file")
    before = sorted(tmp_path.rglob("*"))
    result = mde_export(*foreign, *FITTED, "--emit", tmp_path / "taken" / "plain")
    assert result.exit_code == 3
    assert sorted(tmp_path.rglob("*")) == before


def test_flags_say_what_a_contract_would(foreign):
    assert mde_export(*foreign, *FITTED).exit_code == 0
    of_file = read_bundle(foreign[0].with_suffix(".mde")).contract
    assert mde_export(*by_flags(foreign), *FITTED).exit_code == 0
    of_flags = read_bundle(foreign[0].with_suffix(".mde")).contract
    inside = dataclasses.replace(of_flags.to_network, multiple_of_px=of_file.to_network.multiple_of_px)
    assert dataclasses.replace(of_flags, to_network=inside) == of_file


@pytest.mark.parametrize("flag", ["--network-size", "--resize", "--mean", "--std", "--kind", "--range"])
def test_whatever_flag_is_missing_is_named(foreign, flag):
    result = mde_export(*by_flags(foreign, flag), *FITTED)
    assert result.exit_code == 2
    assert f"pass {flag} " in result.stderr


def test_the_networks_size_is_read_from_a_graph_that_says_it(foreign):
    model = onnx.load(foreign[0])
    for axis, side in ((2, 8), (3, 16)):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_value = side
    onnx.save(model, foreign[0])
    result = mde_export(*by_flags(foreign, "--network-size"), *FITTED)
    assert result.exit_code == 0, result.stderr


@pytest.mark.parametrize("wrong", [("--mean", "0.5"), ("--range", "20"), ("--range", "20:1"), ("--std", "0,1,1")])
def test_a_flag_that_makes_no_sense_is_one_line(foreign, wrong):
    result = mde_export(*by_flags(foreign, wrong[0]), *FITTED, *wrong)
    assert result.exit_code in (2, 3)
    assert result.stdout == ""


def test_flags_are_not_for_a_model_that_brings_its_contract(make_checkpoint, tmp_path):
    result = mde_export(make_checkpoint(tmp_path / "a.ckpt"), "--mean", "0.5,0.5,0.5")
    assert result.exit_code == 2
    assert "--mean does not apply to this kind of model; leave it out" in result.stderr


def test_relative_depth_without_a_scale_is_refused_naming_measured(foreign):
    result = mde_export(*foreign)
    assert result.exit_code == 3
    assert "--measured" in result.stderr


def test_a_flag_that_a_source_has_no_use_for_is_wrong_usage(foreign):
    result = mde_export(*foreign, "--source-size", "24x40")
    assert result.exit_code == 2
    assert "--contract already covers these; leave --source-size out" in result.stderr


@pytest.mark.parametrize("opset", [17, 21])
def test_other_opsets_are_read_or_converted_to_what_tensorrt_reads(foreign, save_graph, opset):
    result = mde_export(save_graph(opset), *foreign[1:], *FITTED)
    assert result.exit_code == 0, result.stderr
    graph = onnx.ModelProto.FromString(read_bundle(foreign[0].with_suffix(".mde")).graph("fp32"))
    assert graph.opset_import[0].version <= 20


def test_a_fixed_size_that_is_not_the_contracts_is_refused(foreign):
    model = onnx.load(foreign[0])
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 384
    onnx.save(model, foreign[0])
    result = mde_export(*foreign, *FITTED)
    assert result.exit_code == 3
    assert "change the contract" in result.stderr


def test_a_file_that_is_no_onnx_is_refused(foreign):
    foreign[0].write_bytes(b"PK no onnx here")
    assert mde_export(*foreign, *FITTED).exit_code == 3


@pytest.mark.parametrize("where", ["../outside.bin", "/etc/hostname", "link.bin", "short.bin", "missing.bin"])
def test_external_data_that_leaves_the_folder_or_does_not_fit_is_refused(foreign, where, tmp_path):
    (tmp_path.parent / "outside.bin").write_bytes(bytes(16))
    (tmp_path / "short.bin").write_bytes(bytes(8))
    (tmp_path / "link.bin").symlink_to(tmp_path.parent / "outside.bin")
    model = onnx.load(foreign[0])
    point_outside(model.graph.initializer[0], where)
    foreign[0].write_bytes(model.SerializeToString())
    result = mde_export(*foreign, *FITTED)
    assert result.exit_code == 3
    assert repr(where) in result.stderr


def test_external_data_in_a_fifo_is_refused_and_not_waited_for(foreign, tmp_path):
    os.mkfifo(tmp_path / "weights.bin")
    model = onnx.load(foreign[0])
    empty = model.graph.initializer.add(name="empty", dims=[0], data_type=onnx.TensorProto.FLOAT)
    point_outside(empty, "weights.bin")
    foreign[0].write_bytes(model.SerializeToString())
    result = mde_export(*foreign, *FITTED)
    assert result.exit_code == 3
    assert "weights.bin: is a FIFO, which is not read" in result.stderr


def test_external_data_beside_the_model_is_read(foreign, tmp_path):
    model = onnx.load(foreign[0])
    weight = next(tensor for tensor in model.graph.initializer if len(tensor.dims) == 4)
    (tmp_path / "weights.bin").write_bytes(onnx.numpy_helper.to_array(weight).tobytes())
    point_outside(weight, "weights.bin")
    foreign[0].write_bytes(model.SerializeToString())
    assert mde_export(*foreign, *FITTED).exit_code == 0


def point_outside(tensor: onnx.TensorProto, location: str) -> None:
    tensor.ClearField("raw_data")
    tensor.ClearField("float_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)


@pytest.mark.parametrize(
    "changes", [{}, {"kind": "inverse_depth", "from_network__scale": 2.0}], ids=["plain", "fitted"]
)
def test_a_network_comes_out_of_its_stages_as_it_went_in(one_convolution, contract, changes):
    _, network = one_convolution(np.ones((1, 3, 1, 1), np.float32), 0.0, 1, 8, 16)
    grafted = graft(network, contract(**changes))
    assert to_bytes(graft(ungraft(grafted), contract(**changes))) == to_bytes(grafted)


def test_a_bundle_gets_another_precision_or_frame_size_without_torch(foreign, pictures, tmp_path):
    assert mde_export(*foreign, *FITTED).exit_code == 0
    command = [foreign[0].with_suffix(".mde"), "--fp16", "--source-size", "24x40", "--frames", pictures]
    result = run_without(TORCH, *command, "-o", tmp_path / "large.mde")
    assert result.returncode == 0, result.stderr
    bundle, original = read_bundle(tmp_path / "large.mde"), read_bundle(foreign[0].with_suffix(".mde"))
    assert bundle.precisions == ("fp32", "fp16")
    assert (bundle.contract.source.height_px, bundle.contract.source.width_px) == (24, 40)
    assert bundle.golden().frames.shape == (8, 24, 40, 3)
    assert bundle.certificate("fp16").derived_from == original.certificate("fp32").parity


def run_without(missing: tuple[str, ...], *arguments: object) -> subprocess.CompletedProcess:
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({missing!r}))\n"
        "from mde_export.cli import main; main(prog_name='mde-export')"
    )
    return subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True)


@pytest.mark.usefixtures("foreign")
@pytest.mark.parametrize(
    ("missing", "model", "extras"),
    [
        (("onnx", "onnx_ir", "onnxscript"), "foreign.onnx", "export"),
        (("onnxruntime",), "foreign.onnx", "export"),
        (("onnxscript",), "foreign.onnx", "export"),
        (TORCH, "model.ckpt", "export,train"),
        (TORCH, "theirs:build", "export,train"),
    ],
)
def test_a_library_that_is_missing_is_named_with_the_extra_that_has_it(tmp_path, missing, model, extras):
    (tmp_path / "model.ckpt").touch()
    result = run_without(missing, model if ":" in model else tmp_path / model)
    assert result.returncode == 4
    assert missing[0] in result.stderr
    assert re.search(rf"install (it|them): {re.escape(installation.adding(extras))}\n$", result.stderr)
    assert result.stderr.count("\n") == 1


def test_a_new_scale_alone_is_certified_on_the_golden_frames(foreign, tmp_path):
    assert mde_export(*foreign, *FITTED, "--fp16").exit_code == 0
    result = mde_export(foreign[0].with_suffix(".mde"), "--scale", 0.5, "-o", tmp_path / "half.mde")
    assert result.exit_code == 0, result.stderr
    bundle = read_bundle(tmp_path / "half.mde")
    assert bundle.contract.from_network.scale == 0.5
    assert bundle.precisions == ("fp32", "fp16")
    assert bundle.certificate("fp16").parity.num_frames == 8


def test_a_bundle_of_a_derived_bundle_carries_the_figures_of_the_first(foreign, tmp_path):
    assert mde_export(*foreign, *FITTED).exit_code == 0
    first = foreign[0].with_suffix(".mde")
    assert mde_export(first, "--scale", 0.5, "-o", tmp_path / "second.mde").exit_code == 0
    assert mde_export(tmp_path / "second.mde", "--scale", 0.75, "-o", tmp_path / "third.mde").exit_code == 0
    original = read_bundle(first).certificate("fp32").parity
    derived = [read_bundle(tmp_path / name).certificate("fp32") for name in ("second.mde", "third.mde")]
    assert [certificate.derived_from for certificate in derived] == [original, original]
    assert derived[0].parity != original  # of other frames: so the third could have carried the wrong one


def test_a_bundle_whose_graph_is_damaged_is_refused_in_one_line(foreign, tmp_path):
    assert mde_export(*foreign, *FITTED).exit_code == 0
    good, bad = read_bundle(foreign[0].with_suffix(".mde")), tmp_path / "bad.mde"
    model = onnx.ModelProto.FromString(good.graph("fp32"))
    del model.graph.node[4]
    graph = model.SerializeToString()
    certificate = dataclasses.replace(good.certificate("fp32"), graph_sha256=files.sha256_of(graph))
    of_both = {"fp32": graph}, {"fp32": certificate}
    write_bundle(bad, good.contract, good.manifest.provenance, *of_both, good.golden())
    result = mde_export(bad, "--scale", 0.5, "-o", tmp_path / "out.mde")
    assert result.exit_code == 3
    assert f"{bad}: its FP32 graph: damaged or not valid ONNX" in result.stderr


def test_a_model_that_gives_nan_on_rendered_frames_makes_no_rendered_golden_frames(described, tmp_path, noise):
    model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 17]>
        net (float[1,3,8,16] image) => (float[1,1,8,16] depth) <float dark = {0.35}, float gain = {20}> {
            grey = ReduceMean <axes = [1]> (image)
            above = Sub (grey, dark)
            root = Sqrt (above)
            depth = Mul (root, gain)
        }""")
    onnx.save(model, tmp_path / "roots.onnx")
    (tmp_path / "bright").mkdir()
    for index in range(64):
        pixels = noise.integers(100, 250, (12, 20, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "bright" / f"{index}.png")
    command = [tmp_path / "roots.onnx", "--contract", described(), "--frames", tmp_path / "bright"]
    assert mde_export(*command, "-o", tmp_path / "good.mde").exit_code == 0
    result = mde_export(*command, "-o", tmp_path / "bad.mde", "--golden", "synth")
    assert result.exit_code == 1
    assert "NaN or Inf on the rendered golden frames" in result.stderr
    assert not (tmp_path / "bad.mde").exists()


def test_a_frame_that_no_longer_fits_its_padding_is_scaled_to_fit(contract):
    padded = contract(resize="pad", multiple_of_px=16, height_px=16, width_px=32, covers=(0, 0, 16, 32))
    assert at_source_size(padded, (14, 24)).to_network.resize == "pad"
    assert at_source_size(padded, (120, 200)).to_network.resize == "letterbox"


def test_padding_grows_with_the_frame_so_that_the_network_sees_its_contents_at_the_same_size(contract):
    padded = contract(pad_px=(3, 5, 2, 5), padding="reflect")
    doubled, wider = at_source_size(padded, (24, 40)), at_source_size(padded, (12, 40))
    assert doubled.to_network.pad_px == (6, 10, 4, 10)
    assert wider.to_network.pad_px == (3, 10, 2, 10)
    assert at_source_size(contract(), (24, 40)).to_network.pad_px == (0, 0, 0, 0)


def test_a_canonical_focal_length_is_that_of_the_networks_input_at_any_size_of_frames(contract):
    canonical = contract(canonical_focal_px=100.0)
    height_px, width_px = canonical.source.height_px, canonical.source.width_px
    doubled = at_source_size(canonical, (2 * height_px, 2 * width_px))
    assert doubled.from_network.canonical_focal_px == pytest.approx(200.0)


def test_anyones_pytorch_network_is_exported_from_its_module(described, pictures, tmp_path, monkeypatch):
    import torch

    (tmp_path / "theirs.py").write_text(
        "from torch import nn\ndef build():\n    return nn.Sequential(nn.Conv2d(3, 1, 3, padding=1))\n"
    )
    monkeypatch.chdir(tmp_path)
    weights = {"0.weight": torch.full((1, 3, 3, 3), 1.0), "0.bias": torch.tensor([1.0])}
    torch.save(weights, tmp_path / "theirs.pt")
    result = mde_export("theirs:build", "--weights", "theirs.pt", "--contract", described(), "--frames", pictures)
    assert result.exit_code == 0, result.stderr
    assert read_bundle(tmp_path / "theirs.mde").manifest.provenance.origin == "module"


def test_a_damaged_graph_is_read_or_refused_but_never_ends_in_a_crash(save_graph, contract, noise):
    path = save_graph()
    whole = path.read_bytes()
    for _ in range(60):
        damaged = bytearray(whole)
        for place in noise.integers(0, len(whole), 3):
            damaged[place] = noise.integers(0, 256)
        path.write_bytes(bytes(damaged))
        with contextlib.suppress(MdeError):
            network_from_onnx(load_onnx(path), contract(), "disparity", False, str(path))
