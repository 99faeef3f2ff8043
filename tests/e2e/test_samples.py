"""The bundle that the project ships: whole, small, certified, and of use on scenes that it never saw."""

import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mde_bench.subjects.torch_eager import open_subject
from mde_runtime.bundle import read_bundle

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "samples"
SAMPLE = SAMPLES / "fast.mde"
WEIGHTS = SAMPLES / "weights.ckpt"
NUM_SCENES = 20


@pytest.fixture(scope="module")
def scenes(call, tmp_path_factory) -> Path:
    """Scenes of a seed that the sample was not trained on."""
    folder = tmp_path_factory.mktemp("samples") / "scenes"
    call("mde-data", "synth", folder, "--frames", NUM_SCENES, "--seed", 4242)
    return folder


def test_the_sample_is_small_and_holds_two_certified_precisions():
    precisions = read_bundle(SAMPLE).precisions
    assert set(precisions) == {"fp32", "fp16"}
    assert SAMPLE.stat().st_size <= 12e6


def test_the_sample_gives_its_golden_depth_here(call):
    call("mde-bundle", "verify", SAMPLE)


def test_the_weights_beside_the_sample_are_its_network():
    golden = read_bundle(SAMPLE).golden()
    network = open_subject(str(WEIGHTS), num_threads=1)
    for frame, depth_m in zip(golden.frames, golden.depth_m, strict=True):
        assert rmse(network.answer(frame).depth_m, depth_m) < 1e-3  # another machine's float32


def test_training_starts_from_the_samples_weights(call, scenes: Path, tmp_path: Path):
    """One step at a learning rate of nearly nothing leaves the network as good as it was."""
    settings = ("epochs=1", "lr=1e-9", "batch_size=16", "ema_decay=null", "evaluate_every_epochs=1")
    flags = [word for setting in settings for word in ("--set", setting)]
    call("mde-train", "--recipe", "fast", "--data", scenes, "--out", tmp_path / "run", "--init", WEIGHTS, *flags)
    begun, trained = (open_subject(str(path), num_threads=1) for path in (WEIGHTS, tmp_path / "run" / "best.ckpt"))
    frame = read_bundle(SAMPLE).golden().frames[0]
    assert rmse(begun.answer(frame).depth_m, trained.answer(frame).depth_m) < 0.5  # of metres that span 20
    assert WEIGHTS.stat().st_size <= 7e6


def test_the_samples_depth_is_far_better_than_a_guess(call, scenes: Path, tmp_path: Path):
    pictures = sorted((scenes / "rgb").rglob("*.jpeg"))
    call("mde-predict", SAMPLE, *pictures, "-o", tmp_path)
    truth_m = np.stack([np.load(scenes / "depth" / p.parent.name / f"{p.stem}.npy") for p in pictures]).clip(0, 20)
    depth_m = np.stack([np.load(tmp_path / f"{picture.stem}.npy") for picture in pictures])
    guess_m = truth_m.mean(axis=0)
    assert rmse(depth_m, truth_m) <= 0.6 * rmse(guess_m, truth_m)


def test_the_quickstarts_prediction_is_a_picture(call, tmp_path: Path):
    lines = [line.split("#")[0] for line in (ROOT / "README.md").read_text().splitlines()]
    (command,) = (line for line in lines if line.startswith("mde-predict samples/"))
    words = [str(ROOT / word) if word.startswith("samples/") else word for word in shlex.split(command)]
    words[words.index("-o") + 1] = str(tmp_path)
    call(*words)
    (written,) = tmp_path.iterdir()
    assert Image.open(written).size[0] > 256  # the picture and its depth, side by side


def rmse(depth_m: np.ndarray, truth_m: np.ndarray) -> float:
    return float(np.sqrt(np.mean((depth_m - truth_m) ** 2)))
