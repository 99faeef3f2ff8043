"""Ctrl-C loses nothing that was finished and leaves nothing half done."""

import pytest

from mde_runtime.bundle import read_bundle
from mde_train.checkpoint import read_checkpoint

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # seconds: two cores may be busy with other tests


def drafts(folder):
    """What a writer leaves behind when it is ended in the middle: files whose names begin with a dot."""
    return [path for path in folder.rglob(".*") if path.is_file()]


def losses(run):
    """Step, name and value of every figure of a run, without the time."""
    rows = [line.split(",") for line in (run / "curves.csv").read_text().splitlines()[1:]]
    return [(step, name, value) for step, _, name, value in rows]


def test_interrupted_training_goes_on_with_the_very_same_losses(call, interrupt, world, run_folder, training, tmp_path):
    run = tmp_path / "run"
    ended = interrupt(lambda _: (run / "best.ckpt").exists(), "mde-train", "--data", world, "--out", run, *training)
    assert ended.returncode == 130
    assert drafts(run) == []
    assert read_checkpoint(run / "last.ckpt").model == "fast"
    done = len(losses(run))
    assert done < len(losses(run_folder))

    call("mde-train", "--data", world, "--out", run, "--resume")
    assert losses(run) == losses(run_folder)


def test_interrupted_export_leaves_nothing(interrupt, run_folder, tmp_path):
    words = ("mde-export", run_folder / "best.ckpt", "--fp16", "--engine", "none", "--emit", tmp_path / "plain")
    ended = interrupt(lambda said: "ONNX" in said, *words, "-o", tmp_path / "new.mde")
    assert ended.returncode == 130
    assert list(tmp_path.iterdir()) == []


def test_interrupted_export_leaves_the_bundle_that_was_there(interrupt, run_folder, bundle, tmp_path):
    target = tmp_path / "model.mde"
    target.write_bytes(bundle.read_bytes())
    ended = interrupt(lambda said: "ONNX" in said, "mde-export", run_folder / "best.ckpt", "--fp16", "-o", target)
    assert ended.returncode == 130
    assert list(tmp_path.iterdir()) == [target]
    assert read_bundle(target).precisions == ("fp32", "fp16")


def test_interrupted_synthesis_goes_on_where_it_was(call, interrupt, tmp_path):
    words = ("mde-data", "synth", tmp_path / "scenes", "--frames", 60, "--seed", 5)
    ended = interrupt(lambda _: len(list(tmp_path.glob("scenes/depth/train/*.npy"))) > 2, *words)
    assert ended.returncode == 130
    assert drafts(tmp_path) == []
    there = len(list(tmp_path.glob("scenes/depth/*/*.npy")))
    assert f"{there} were there" in call(*words).stderr
    assert len(list(tmp_path.glob("scenes/depth/*/*.npy"))) == 60
