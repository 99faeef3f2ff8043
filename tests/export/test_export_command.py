"""mde-export: a checkpoint in, a bundle that can be believed out, or one line and nothing left behind."""

import _thread
import hashlib
import pickle
import threading
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

from mde_export.cli import main
from mde_export.failure import Report
from mde_export.judge.execute import Executor
from mde_runtime import records
from mde_runtime.backends import open_session
from mde_runtime.bundle import Bundle, read_bundle
from mde_runtime.contract import Contract
from mde_train.checkpoint import read_checkpoint
from mde_train.depth_model import DepthModel, network_input


def mde_export(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], prog_name="mde-export")


@pytest.fixture(scope="module")
def checkpoint(make_checkpoint, tmp_path_factory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("good") / "tiny.ckpt")


@pytest.fixture(scope="module")
def exported(checkpoint) -> tuple[Result, Bundle]:
    result = mde_export(checkpoint, "--fp16", "--engine", "none", "--emit", checkpoint.parent / "plain")
    assert result.exit_code == 0, result.stderr
    return result, read_bundle(checkpoint.with_suffix(".mde"))


def test_both_graphs_come_with_certificates_that_pass_on_64_frames(exported):
    _, bundle = exported
    assert bundle.precisions == ("fp32", "fp16")
    for precision in bundle.precisions:
        certificate = bundle.certificate(precision)
        assert certificate.parity.num_frames == 64
        assert certificate.parity.breaches(certificate.limits) == []
        assert certificate.graph_sha256 == hashlib.sha256(bundle.graph(precision)).hexdigest()


def test_the_graph_gives_the_pytorch_models_metres_from_raw_frames(exported, checkpoint):
    _, bundle = exported
    model = read_checkpoint(checkpoint)
    frames = model.heldout_frames[:2]
    with torch.no_grad():
        expected, _ = DepthModel(model.network, model.contract)(torch.from_numpy(frames))
    session = open_session("onnxruntime-cpu", bundle.graph("fp32"))
    depth_m = np.concatenate([session.run({"frame": frame[None]})["depth_m"] for frame in frames])
    np.testing.assert_allclose(depth_m, expected.numpy(), atol=1e-4)  # float32 rounding over three layers


def test_the_fp16_graph_is_half_the_size_of_the_network_and_says_what_stays_float(exported):
    _, bundle = exported
    weights = onnx.ModelProto.FromString(bundle.graph("fp16")).graph.initializer
    halves = [weight.name for weight in weights if weight.data_type == onnx.TensorProto.FLOAT16]
    assert len(halves) == 2  # weight and bias of the middle layer
    reasons = [island.reason.split(":")[0] for island in bundle.certificate("fp16").kept_fp32]
    assert reasons == ["pre- and postprocessing", "first convolution", "head"]


def test_the_figure_with_sums_in_half_is_stated_and_judged_on_every_frame_where_it_is_asked_for(
    exported, checkpoint, tmp_path
):
    result, bundle = exported
    stated = bundle.certificate("fp16").half_accumulation
    assert 0 < stated.num_frames < 64
    assert f"; with sums in half {stated.rmse_worst_m * 100:.3f} cm on {stated.num_frames} frames" in result.stdout
    asked = mde_export(checkpoint, "--fp16", "--accumulation", "half", "--engine", "none", "-o", tmp_path / "half.mde")
    assert asked.exit_code == 0, asked.stderr
    certificate = read_bundle(tmp_path / "half.mde").certificate("fp16")
    assert certificate.half_accumulation.num_frames == 64
    assert certificate.half_accumulation.breaches(certificate.limits) == []


def test_golden_frames_are_held_out_ones_with_the_pytorch_models_depth(exported, checkpoint):
    _, bundle = exported
    golden, model = bundle.golden(), read_checkpoint(checkpoint)
    assert golden.frames.shape == (8, 12, 20, 3)
    assert all((frame == model.heldout_frames).all(axis=(1, 2, 3)).any() for frame in golden.frames)
    with torch.no_grad():
        expected, _ = DepthModel(model.network, model.contract)(torch.from_numpy(golden.frames[:1]))
    np.testing.assert_array_equal(golden.depth_m[:1], expected.numpy())


def test_the_frame_that_each_precision_is_worst_on_is_golden(exported, checkpoint):
    _, bundle = exported
    frames = read_checkpoint(checkpoint).heldout_frames
    for precision in bundle.precisions:
        worst = frames[bundle.certificate(precision).parity.worst_frame]
        assert (bundle.golden().frames == worst).all(axis=(1, 2, 3)).any(), precision


def test_rendered_golden_frames_keep_private_data_out_of_the_bundle(checkpoint, tmp_path):
    out = tmp_path / "private.mde"
    assert mde_export(checkpoint, "-o", out, "--golden", "synth", "--engine", "none").exit_code == 0
    golden, model = read_bundle(out).golden(), read_checkpoint(checkpoint)
    assert not any((frame == model.heldout_frames).all(axis=(1, 2, 3)).any() for frame in golden.frames)
    with torch.no_grad():
        expected, _ = DepthModel(model.network, model.contract)(torch.from_numpy(golden.frames[:1]))
    np.testing.assert_array_equal(golden.depth_m[:1], expected.numpy())


def test_provenance_names_checkpoint_data_recipe_and_tools(exported, checkpoint):
    _, bundle = exported
    provenance = bundle.manifest.provenance
    assert (provenance.origin, provenance.model, provenance.recipe) == ("checkpoint", "tiny", {"seed": 5})
    assert provenance.source_sha256 == hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert {"torch", "onnx", "onnxruntime", "mde-toolchain"} <= set(provenance.tools)


def test_emit_writes_the_plain_graphs_and_the_contract(exported, checkpoint):
    _, bundle = exported
    plain = checkpoint.parent / "plain"
    assert sorted(path.name for path in plain.iterdir()) == ["contract.json", "tiny.fp16.onnx", "tiny.fp32.onnx"]
    assert (plain / "tiny.fp16.onnx").read_bytes() == bundle.graph("fp16")
    assert Contract.loads((plain / "contract.json").read_bytes()) == bundle.contract


def test_the_core_is_the_bare_network_with_the_inputs_that_the_stages_make(checkpoint, tmp_path):
    folder = tmp_path / "core"
    result = mde_export(checkpoint, "-o", tmp_path / "a.mde", "--engine", "none", "--emit-core", folder)
    assert result.exit_code == 0, result.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["a.core.onnx", "contract.json", "inputs.npy"]
    model = read_checkpoint(checkpoint)
    inputs = np.load(folder / "inputs.npy")
    with torch.no_grad():
        expected = network_input(torch.from_numpy(model.heldout_frames), model.contract)
        expected_map = model.network(expected[:1])
    np.testing.assert_allclose(inputs, expected.numpy(), atol=1e-6)  # float32: a product in place of a quotient
    core = Executor((folder / "a.core.onnx").read_bytes(), literal=True)
    (name,) = [value.name for value in onnx.load(folder / "a.core.onnx").graph.input]
    (found,) = core.run({name: inputs[:1]}).values()
    np.testing.assert_allclose(found, expected_map.numpy(), rtol=1e-5)  # float32: another order of sums


@pytest.mark.parametrize(
    ("options", "complaint"),
    [(("--batch", "1:2:4"), "leave --batch out"), (("--emit", "core"), "would both write contract.json")],
)
def test_a_core_that_would_be_another_or_overwritten_is_refused(checkpoint, tmp_path, monkeypatch, options, complaint):
    monkeypatch.chdir(tmp_path)
    result = mde_export(checkpoint, "-o", tmp_path / "a.mde", "--emit-core", "core", *options)
    assert result.exit_code == 2
    assert complaint in result.stderr


def test_stdout_holds_figures_and_files_and_stderr_the_steps(exported):
    result, bundle = exported
    assert result.stdout.splitlines()[-1] == str(bundle.path)
    assert "worst frame" in result.stdout
    assert "reference: tiny in PyTorch" in result.stderr


def test_exporting_again_gives_the_same_bytes_and_auto_tells_the_command_for_the_device(exported, checkpoint, tmp_path):
    _, bundle = exported
    again = tmp_path / "again.mde"
    result = mde_export(checkpoint, "--fp16", "-o", again)
    assert again.read_bytes() == bundle.path.read_bytes()
    assert "mde-bundle engine again.mde" in result.stderr


def test_a_named_engine_is_built_without_a_gpu_and_called_unverified(checkpoint, tmp_path):
    pytest.importorskip("tensorrt_rtx")
    result = mde_export(checkpoint, "-o", tmp_path / "a.mde", "--engine", "tensorrt-rtx")
    assert result.exit_code == 0
    assert "unverified" in result.stderr
    assert (tmp_path / "a.fp32.rtx.engine").read_bytes()[:4] == b"vtrt"  # TensorRT-RTX's magic number


def test_a_dry_run_says_the_plan_and_writes_nothing(checkpoint, tmp_path):
    result = mde_export(checkpoint, "-o", tmp_path / "a.mde", "--fp16", "--dry-run")
    assert result.exit_code == 0
    assert "fp32 (worst frame within 1 cm), fp16 (worst frame within 1 cm)" in result.stdout
    assert list(tmp_path.iterdir()) == []


def test_explain_shows_what_is_lowered_and_what_it_weighs(make_checkpoint, tmp_path):
    calm = make_checkpoint(tmp_path / "calm.ckpt", std_m=1.0)  # so that INT8 needs nothing in FP32
    result = mde_export(calm, "-o", tmp_path / "a.mde", "--fp16", "--int8", "--engine", "none", "--explain")
    rows = {line.split()[0]: line.split() for line in result.stdout.splitlines()[:5]}
    assert rows.keys() == {"graph", "network", "fp32", "fp16", "int8"}
    assert rows["fp32"][5] == "0.0%"
    # of the multiply-adds a pixel 4*4*9 are in the middle, 4*3*9 in the first layer and 4 in the head
    assert rows["fp16"][5] == rows["int8"][5] == f"{144 / 256:.1%}"


def test_int8_that_passes_with_every_layer_in_float_alone_is_refused_and_nothing_is_written(make_checkpoint, tmp_path):
    wild = make_checkpoint(tmp_path / "wild.ckpt", std_m=60.0)  # its one layer to quantise is 0.7 m off
    result = mde_export(wild, "--int8", "--engine", "none")
    assert result.exit_code == 1
    assert "int8 certificate failed" in result.stderr
    assert list(tmp_path.iterdir()) == [wild]


def failing(folder: Path, checkpoint: Path, *options: object) -> Result:
    """Export what must fail, and check that nothing was left behind."""
    folder.mkdir(exist_ok=True)
    result = mde_export(checkpoint, "-o", folder / "a.mde", "--emit", folder / "plain", *options)
    assert list(folder.iterdir()) == []
    assert result.stderr.count("mde-export: ") == 1
    return result


def test_an_open_batch_gives_every_frame_the_depth_that_it_has_alone(checkpoint, tmp_path):
    pytest.importorskip("tensorrt_rtx")
    out = tmp_path / "many.mde"
    result = mde_export(checkpoint, "-o", out, "--fp16", "--batch", "1:2:4", "--engine", "tensorrt-rtx")
    assert result.exit_code == 0, result.stderr
    frames = read_checkpoint(checkpoint).heldout_frames[:4]
    session = open_session("onnxruntime-cpu", read_bundle(out).graph("fp16"))
    together = session.run({"frame": frames})
    assert together["num_nonfinite"].tolist() == [0] * 4
    alone = np.concatenate([session.run({"frame": frame[None]})["depth_m"] for frame in frames])
    np.testing.assert_allclose(together["depth_m"], alone, atol=1e-4)  # sums in another order


def test_a_batch_that_is_no_range_is_wrong_usage(checkpoint):
    assert mde_export(checkpoint, "--batch", "4:2:1").exit_code == 2


def test_a_named_engine_that_cannot_be_built_ends_with_4(checkpoint, tmp_path):
    result = failing(tmp_path / "out", checkpoint, "--engine", "tensorrt")
    assert result.exit_code == 4
    assert "tensorrt cannot be loaded" in result.stderr


def test_a_model_whose_depth_hardly_varies_is_refused_as_a_constant(make_checkpoint, tmp_path):
    result = failing(tmp_path / "out", make_checkpoint(tmp_path / "flat.ckpt", std_m=0.02))
    assert result.exit_code == 1
    assert "as good as constant" in result.stderr


def test_a_model_that_gives_nan_is_refused(make_checkpoint, tmp_path):
    broken = make_checkpoint(tmp_path / "nan.ckpt", change=lambda network: network[-1].bias.fill_(torch.nan))
    result = failing(tmp_path / "out", broken)
    assert result.exit_code == 1
    assert "itself gives 15360 values that are NaN or Inf" in result.stderr


def test_too_few_frames_are_refused_with_the_flag_that_gives_more(make_checkpoint, tmp_path):
    result = failing(tmp_path / "out", make_checkpoint(tmp_path / "few.ckpt", num_frames=63))
    assert result.exit_code == 3
    assert "63 frames, 64 are needed; pass more with --frames DIR" in result.stderr


@pytest.fixture(scope="module")
def sixty_six_pictures(checkpoint, tmp_path_factory) -> Path:
    """A folder of the frames of a checkpoint, and two more."""
    folder = tmp_path_factory.mktemp("pictures")
    frames = read_checkpoint(checkpoint).heldout_frames
    for index in range(66):
        Image.fromarray(frames[index % 64]).save(folder / f"{index:02d}.png")
    return folder


@pytest.mark.parametrize(("asked", "num_frames"), [([], 64), (["--num-frames", 66], 66)], ids=["unasked", "66"])
def test_as_many_frames_of_a_folder_are_judged_on_as_are_asked_for(
    checkpoint, sixty_six_pictures, tmp_path, asked, num_frames
):
    result = mde_export(checkpoint, "--frames", sixty_six_pictures, *asked, "-o", tmp_path / "a.mde")
    assert result.exit_code == 0, result.stderr
    assert read_bundle(tmp_path / "a.mde").certificate("fp32").parity.num_frames == num_frames


@pytest.mark.parametrize(
    ("asked", "code", "said"),
    [
        (["--num-frames", 67, "--frames", "FOLDER"], 3, "66 frames, 67 are needed; pass more with --frames DIR"),
        (["--num-frames", 65], 2, "brings checkpoint's 64 held-out frames; pass others with --frames DIR"),
    ],
    ids=["more than there are", "of a checkpoint's own"],
)
def test_a_number_of_frames_that_cannot_be_had_is_refused(checkpoint, sixty_six_pictures, tmp_path, asked, code, said):
    arguments = [sixty_six_pictures if argument == "FOLDER" else argument for argument in asked]
    result = failing(tmp_path / "out", checkpoint, *arguments)
    assert result.exit_code == code
    assert said in " ".join(result.stderr.split())


def test_what_is_no_checkpoint_is_refused_in_one_line(tmp_path):
    (tmp_path / "a.ckpt").write_bytes(b"not a checkpoint")
    assert failing(tmp_path / "out", tmp_path / "a.ckpt").exit_code == 3
    assert failing(tmp_path / "out", tmp_path / "missing.ckpt").exit_code == 3


class Malicious:
    """An object that makes a file when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("save", [torch.save, lambda thing, path: path.write_bytes(pickle.dumps(thing))])
def test_a_malicious_pickle_does_not_run(tmp_path, save):
    save({"mde_checkpoint": Malicious(tmp_path / "ran")}, tmp_path / "evil.ckpt")
    assert failing(tmp_path / "out", tmp_path / "evil.ckpt").exit_code == 3
    assert not (tmp_path / "ran").exists()


def test_the_bundle_never_replaces_its_model(checkpoint):
    before = checkpoint.read_bytes()
    assert mde_export(checkpoint, "-o", checkpoint).exit_code == 2
    assert checkpoint.read_bytes() == before


def test_a_graph_that_computes_something_else_than_pytorch_is_rejected_with_figure_frame_and_nodes(
    make_checkpoint, tmp_path
):
    result = failing(tmp_path / "out", make_checkpoint(tmp_path / "lying.ckpt", options={"lies_m": 0.02}))
    assert result.exit_code == 1
    assert "fp32 certificate failed on the checkpoint's 64 held-out frames" in result.stderr
    assert "RMSE of the worst frame is 0.0200 m, over 0.0100 m" in result.stderr
    assert (
        "the graph that PyTorch captured differs from the network, first at layer the network itself" in result.stderr
    )


def test_a_rejected_graph_is_kept_with_a_report_by_node_and_the_command_that_builds_it(make_checkpoint, tmp_path):
    lying = make_checkpoint(tmp_path / "lying.ckpt", options={"lies_m": 0.02})
    assert failing(tmp_path / "out", lying, "--keep-rejected", tmp_path / "kept").exit_code == 1
    report = records.loads(Report, (tmp_path / "kept" / "a.fp32.rejected.json").read_bytes(), "report")
    assert report.breaches[0].startswith("RMSE of the worst frame is 0.0200 m")
    assert [row.operator for row in report.nodes] == ["Conv", "Relu", "Conv", "Relu", "Conv", "Add"]
    assert report.trtexec == "trtexec --onnx=a.fp32.rejected.onnx --stronglyTyped --noTF32"
    assert open_session("onnxruntime-cpu", (tmp_path / "kept" / "a.fp32.rejected.onnx").read_bytes())


@pytest.mark.parametrize("after_s", [0.1, 0.4, 0.8, 1.2])
def test_ctrl_c_leaves_nothing_behind_whenever_it_comes(make_checkpoint, tmp_path, after_s):
    slow = make_checkpoint(tmp_path / "slow.ckpt", options={"wait_s": 0.1})
    pressed = threading.Timer(after_s, _thread.interrupt_main)  # SIGALRM is pytest-timeout's
    pressed.start()
    try:
        result = failing(tmp_path / "out", slow)
    finally:
        pressed.cancel()
    assert result.exit_code == 130
    assert result.stderr.endswith("mde-export: interrupted\n")


def test_every_option_that_is_grouped_in_the_help_exists():
    names = [name for group in main.groups.values() for name in group]
    assert sorted(names) == sorted(set(names))
    assert set(names) <= {param.name for param in main.params}


@pytest.mark.parametrize(("target", "is_warned"), [("jetpack6", True), ("jetpack7", False)])
def test_a_target_whose_library_is_known_for_wrong_depth_is_told_beforehand(checkpoint, target, is_warned):
    result = mde_export(checkpoint, "--dry-run", "--target", target)
    assert result.exit_code == 0, result.stderr
    assert ("wrong depth" in result.stdout) == is_warned
