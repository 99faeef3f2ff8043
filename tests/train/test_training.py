"""Whole runs of the smallest size: 24 frames of 24x40 px, 6 steps an epoch."""

import csv
import itertools
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from torch.optim.optimizer import register_optimizer_step_post_hook

from mde_train.checkpoint import read_checkpoint
from mde_train.recipes import RECIPES
from mde_train.torchvision_ops import import_torchvision

FROZEN = [name for name, recipe in RECIPES.items() if recipe.model_options.get("is_frozen")]
SMALL = ("batch_size=4", "epochs=2", "evaluate_every_epochs=1", "picture_every_steps=5", "max_minutes=null")


def mde_train(*arguments: object, settings: tuple[str, ...] = ()):
    from mde_train.cli.train import main

    words = [str(word) for word in arguments]
    for setting in settings:
        words += ["--set", setting]
    return CliRunner().invoke(main, words)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def rows(run: Path) -> list[tuple[str, str, str]]:
    """Step, name and value of every figure of a run, in order, without the time."""
    with (run / "curves.csv").open() as file:
        return [(row["step"], row["name"], row["value"]) for row in csv.DictReader(file)]


def losses(run: Path, name: str = "loss") -> dict[int, float]:
    with (run / "curves.csv").open() as file:
        return {int(row["step"]): float(row["value"]) for row in csv.DictReader(file) if row["name"] == name}


@pytest.fixture(scope="module")
def finished(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "whole"
    result = mde_train("--recipe", "fast-demo", "--data", scenes, "--out", run, settings=SMALL)
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == str(run / "best.ckpt")
    return run


def test_a_run_leaves_checkpoints_curves_pictures_and_its_recipe(finished: Path):
    checkpoints, curves = {"best.ckpt", "weights.ckpt", "last.ckpt"}, {"curves.csv", "tensorboard", "pictures"}
    assert checkpoints | curves | {"recipe.json", "run.lock"} == names(finished)
    assert names(finished / "pictures") == {"000005.png", "000010.png"}
    assert sorted(losses(finished)) == list(range(1, 13))
    assert sorted(losses(finished, "val_rmse_m")) == [6, 12]


def test_a_picture_shows_input_truth_prediction_and_error_side_by_side(finished: Path):
    with Image.open(finished / "pictures" / "000005.png") as picture:
        assert picture.width == 4 * 40


def test_a_checkpoint_carries_what_export_needs(finished: Path, scenes: Path):
    checkpoint = read_checkpoint(finished / "best.ckpt")
    assert checkpoint.model == "fast"
    assert checkpoint.contract.source.height_px == 24
    assert checkpoint.recipe["epochs"] == 2
    truth = np.stack([np.load(scenes / "depth" / "val" / f"{number}.npy") for number in range(24, 30)])
    np.testing.assert_allclose(checkpoint.heldout_depth_m, truth, atol=0.01)  # kept in memory as float16
    assert checkpoint.data_sha256


def test_training_learns_what_the_mean_cannot_know(scenes: Path, tmp_path: Path):
    settings = (*SMALL, "epochs=12", "evaluate_every_epochs=12", "picture_every_steps=1000")
    assert (
        mde_train("--recipe", "fast-demo", "--data", scenes, "--out", tmp_path / "r", settings=settings).exit_code == 0
    )
    spread_m = read_checkpoint(tmp_path / "r" / "best.ckpt").heldout_depth_m.std()
    assert losses(tmp_path / "r", "val_rmse_m")[72] < 0.6 * spread_m


def test_the_same_seed_gives_the_same_weights(finished: Path, scenes: Path, tmp_path: Path):
    assert mde_train("--recipe", "fast-demo", "--data", scenes, "--out", tmp_path / "r", settings=SMALL).exit_code == 0
    first, second = (read_checkpoint(run / "last.ckpt").network.state_dict() for run in (finished, tmp_path / "r"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def start(scenes: Path, run: Path, *settings: str, prelude: str = "") -> subprocess.Popen[str]:
    words = ["--recipe", "fast-demo", "--data", str(scenes), "--out", str(run)]
    words += [word for setting in settings for word in ("--set", setting)]
    code = "import sys, torch; torch.set_num_threads(1); from mde_train.cli.train import main; main(sys.argv[1:])"
    return subprocess.Popen([sys.executable, "-c", prelude + code, *words], stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_a_run_interrupted_in_the_middle_of_an_epoch_goes_on_with_the_same_losses(scenes: Path, tmp_path: Path):
    settings = (*SMALL, "epochs=8", "schedule=cyclic", "lr=1e-3")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert mde_train("--recipe", "fast-demo", "--data", scenes, "--out", whole, settings=settings).exit_code == 0

    process = start(scenes, broken, *settings)
    while not (broken / "curves.csv").exists() or len((broken / "curves.csv").read_text().splitlines()) < 20:
        time.sleep(0.02)
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert read_checkpoint(broken / "last.ckpt").model == "fast"
    assert not [name for name in names(broken) if name.startswith(".")], "nothing half written"
    reached = max(losses(broken))
    assert 0 < reached < 48

    assert mde_train("--resume", "--data", scenes, "--out", broken).exit_code == 0
    assert losses(broken) == losses(whole)
    for name in ("val_rmse_m", "val_ssim", "lr"):
        assert losses(broken, name) == losses(whole, name)
    first, second = (read_checkpoint(run / "last.ckpt").network.state_dict() for run in (whole, broken))
    assert all(torch.equal(first[name], second[name]) for name in first)


def interrupted(step: int, run: Path, *arguments: object, settings: tuple[str, ...], number: int = signal.SIGINT):
    """The result of a run into which Ctrl-C, or another signal, comes in its step of that number."""
    steps = itertools.count(1)

    def press(*_: object) -> None:
        if next(steps) == step:
            signal.raise_signal(number)

    hook = register_optimizer_step_post_hook(press)
    try:
        return mde_train("--recipe", "fast-demo", "--out", run, *arguments, settings=settings)
    finally:
        hook.remove()


def test_a_run_interrupted_in_its_last_step_is_judged_all_the_same(scenes: Path, tmp_path: Path):
    run = tmp_path / "r"
    result = interrupted(6, run, "--data", scenes, settings=(*SMALL, "epochs=1"))
    assert (result.exit_code, sorted(losses(run, "val_rmse_m"))) == (130, [6]), result.stderr
    result = mde_train("--resume", "--data", scenes, "--out", run)
    assert (result.exit_code, result.stdout.strip()) == (0, str(run / "best.ckpt"))
    assert (run / "best.ckpt").exists()


def test_a_judgement_that_ctrl_c_came_before_is_made_by_resuming(finished: Path, scenes: Path, tmp_path: Path):
    run = tmp_path / "r"
    assert interrupted(6, run, "--data", scenes, settings=SMALL).exit_code == 130
    assert (losses(run, "val_rmse_m"), "best.ckpt" in names(run)) == ({}, False)
    assert mde_train("--resume", "--data", scenes, "--out", run).exit_code == 0
    assert rows(run) == rows(finished)


def test_a_judgement_that_was_made_is_not_made_again_by_resuming(finished: Path, scenes: Path, tmp_path: Path):
    run = tmp_path / "r"
    assert interrupted(7, run, "--data", scenes, settings=SMALL).exit_code == 130
    assert mde_train("--resume", "--data", scenes, "--out", run).exit_code == 0
    assert rows(run) == rows(finished)


def test_a_run_that_is_asked_to_terminate_saves_its_step_as_after_ctrl_c(scenes: Path, tmp_path: Path):
    run = tmp_path / "r"
    assert interrupted(3, run, "--data", scenes, settings=SMALL, number=signal.SIGTERM).exit_code == 130
    assert torch.load(run / "last.ckpt", weights_only=True)["training"]["step"] == 3


def test_a_run_whose_time_ran_out_when_it_was_interrupted_is_judged_by_resuming(scenes: Path, tmp_path: Path):
    run = tmp_path / "r"
    assert interrupted(3, run, "--data", scenes, settings=(*SMALL, "max_minutes=10")).exit_code == 130
    saved = torch.load(run / "last.ckpt", weights_only=True)
    saved["training"]["seconds"] = 600.0
    torch.save(saved, run / "last.ckpt")
    assert mde_train("--resume", "--data", scenes, "--out", run).exit_code == 0
    assert sorted(losses(run, "val_rmse_m")) == [4]
    assert read_checkpoint(run / "best.ckpt").model == "fast"
    before = (run / "last.ckpt").read_bytes()
    assert mde_train("--resume", "--data", scenes, "--out", run).exit_code == 0
    assert (run / "last.ckpt").read_bytes() == before


def test_a_run_of_before_judgements_were_counted_goes_on(finished: Path, scenes: Path, tmp_path: Path):
    run = shutil.copytree(finished, tmp_path / "r")
    saved = torch.load(run / "last.ckpt", weights_only=True)
    del saved["training"]["judged_step"]
    torch.save(saved, run / "last.ckpt")
    assert mde_train("--resume", "--data", scenes, "--out", run).exit_code == 0
    assert max(losses(run)) == 12
    assert mde_train("--resume", "--data", scenes, "--out", run, settings=("epochs=3",)).exit_code == 0
    assert sorted(losses(run, "val_rmse_m")) == [6, 12, 18]


def test_a_run_in_the_folder_of_another_is_refused(finished: Path, scenes: Path):
    result = mde_train("--recipe", "fast-demo", "--data", scenes, "--out", finished)
    assert (result.exit_code, "--resume" in result.stderr) == (2, True)


def test_resuming_what_was_never_begun_is_refused(scenes: Path, tmp_path: Path):
    result = mde_train("--resume", "--data", scenes, "--out", tmp_path)
    assert (result.exit_code, "contains no last.ckpt" in result.stderr) == (2, True)


def test_resuming_a_finished_run_gives_its_best_checkpoint_and_changes_nothing(finished: Path, scenes: Path):
    before = (finished / "curves.csv").read_bytes(), (finished / "last.ckpt").read_bytes()
    result = mde_train("--resume", "--data", scenes, "--out", finished)
    assert (result.exit_code, result.stdout.strip()) == (0, str(finished / "best.ckpt"))
    assert ((finished / "curves.csv").read_bytes(), (finished / "last.ckpt").read_bytes()) == before


def test_a_run_that_goes_on_can_be_made_longer(finished: Path, scenes: Path, tmp_path: Path):
    run = shutil.copytree(finished, tmp_path / "r")
    result = mde_train("--resume", "--data", scenes, "--out", run, settings=("epochs=3",))
    assert result.exit_code == 0, result.stderr
    assert read_checkpoint(run / "last.ckpt").recipe["epochs"] == 3
    assert json.loads((run / "recipe.json").read_text())["epochs"] == 3
    before, longer = losses(finished, "lr"), losses(run, "lr")
    assert sorted(longer) == list(range(1, 19))
    assert {step: longer[step] for step in before} == before
    assert longer[13] > before[12] > longer[18]


def test_rows_that_a_power_cut_tore_are_dropped(finished: Path, scenes: Path, tmp_path: Path):
    run = shutil.copytree(finished, tmp_path / "r")
    rows = (run / "curves.csv").read_bytes()
    for torn in (b"\0\0\0\0\0\0", b"1", b"11,0.0", b"11,0.010,loss,0.\0\0\0\n", b"12,0.010,loss,0.2", b"\xff\xfe\n"):
        (run / "curves.csv").write_bytes(rows + torn)
        (run / "recipe.json").write_bytes((finished / "recipe.json").read_bytes())
        shutil.copy(finished / "last.ckpt", run)
        result = mde_train("--resume", "--data", scenes, "--out", run, settings=("epochs=3",))
        assert result.exit_code == 0, result.stderr
        assert (run / "curves.csv").read_bytes().startswith(rows)
        assert sorted(losses(run)) == list(range(1, 19))


@pytest.mark.parametrize(
    ("setting", "code", "words"),
    [
        ("lr=1e-3", 2, "--set 'lr=1e-3': a resumed run can only be made longer or shorter, with epochs, max_minutes"),
        ("epochs=1", 2, "has already run 2.0 epochs in"),
        ("epochs=0", 3, "recipe.epochs: 0 is out of range; use 1 to"),
    ],
)
def test_what_a_run_that_goes_on_cannot_change_is_refused(setting, code, words, finished: Path, scenes: Path):
    before = (finished / "recipe.json").read_bytes()
    result = mde_train("--resume", "--data", scenes, "--out", finished, settings=(setting,))
    assert (result.exit_code, words in result.stderr) == (code, True), result.stderr
    assert (finished / "recipe.json").read_bytes() == before


LONG_STEP = """
import itertools, sys, time
from torch.optim.optimizer import register_optimizer_step_post_hook
steps = itertools.count(1)
def wait(*_):
    if next(steps) == 8:
        print("in a long step", file=sys.stderr, flush=True)
        time.sleep(3600)
register_optimizer_step_post_hook(wait)
"""


def test_a_second_ctrl_c_ends_at_once_and_leaves_nothing_half_written(scenes: Path, tmp_path: Path):
    process = start(scenes, tmp_path / "r", *SMALL, prelude=LONG_STEP)
    assert process.stderr
    try:
        for words in ("in a long step", "press Ctrl-C again to stop at once"):
            assert any(words in line for line in process.stderr), "it ended before"
            process.send_signal(signal.SIGINT)
        process.communicate(timeout=200)  # the step itself would take an hour
    finally:
        process.kill()
    assert process.returncode == 130
    assert read_checkpoint(tmp_path / "r" / "last.ckpt").model == "fast"
    assert max(losses(tmp_path / "r")) == 7, "the step that it fell into is not counted"
    assert not [name for name in names(tmp_path / "r") if name.startswith(".")]


def test_resuming_with_other_data_is_refused(finished: Path, scenes: Path, tmp_path: Path):
    shutil.copytree(scenes, tmp_path / "other")
    np.save(tmp_path / "other" / "depth" / "train" / "3.npy", np.full((24, 40), 7.0, np.float32))
    result = mde_train("--resume", "--data", tmp_path / "other", "--out", finished)
    assert (result.exit_code, "not the data" in result.stderr) == (3, True)


def test_a_loss_that_is_no_number_stops_with_the_frames_names(scenes: Path, tmp_path: Path):
    result = mde_train(
        "--recipe",
        "fast-demo",
        "--data",
        scenes,
        "--out",
        tmp_path / "r",
        settings=(*SMALL, "lr=1e30", "clip_gradient=null"),
    )
    assert result.exit_code == 3
    assert re.search(r"the loss is nan at step \d+, frames (\d+, ){3}\d+; check them", result.stderr)
    assert "--set lr=" in result.stderr


def test_a_time_limit_ends_the_run_with_its_schedule_finished(scenes: Path, tmp_path: Path):
    settings = (*SMALL[:1], "epochs=100000", "max_minutes=0.05")
    assert (
        mde_train("--recipe", "fast-demo", "--data", scenes, "--out", tmp_path / "r", settings=settings).exit_code == 0
    )
    rates = losses(tmp_path / "r", "lr")
    assert rates[max(rates)] < 0.2 * max(rates.values())


def test_a_block_of_training_frames_is_judged_on_and_not_trained_on(scenes: Path, tmp_path: Path):
    settings = (*SMALL, "holdout=16..23", "epochs=1")
    assert (
        mde_train("--recipe", "fast-demo", "--data", scenes, "--out", tmp_path / "r", settings=settings).exit_code == 0
    )
    assert max(losses(tmp_path / "r")) == 4  # 16 frames are left


def test_heldout_depth_that_hardly_varies_is_refused_before_training(scenes: Path, tmp_path: Path):
    shutil.copytree(scenes, tmp_path / "flat")
    for file in (tmp_path / "flat" / "depth" / "val").iterdir():
        np.save(file, np.full((24, 40), 7.0, np.float32))
    result = mde_train("--recipe", "fast", "--data", tmp_path / "flat", "--out", tmp_path / "r")
    assert (result.exit_code, "varies by 0 m" in result.stderr) == (3, True)


def nothing_known() -> bool:
    raise AttributeError("_is_mkldnn_bf16_supported")


@pytest.mark.parametrize(("has_onednn", "is_supported"), [(True, lambda: False), (False, nothing_known)])
def test_bf16_where_the_processor_has_none_is_refused_with_the_reason(
    has_onednn, is_supported, scenes, tmp_path, monkeypatch
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: has_onednn)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", is_supported)
    result = mde_train(
        "--recipe", "fast-demo", "--data", scenes, "--out", tmp_path / "r", settings=(*SMALL, "precision=bf16")
    )
    assert result.exit_code == 4
    assert "several times slower" in result.stderr


def test_fp32_trains_where_nothing_is_known_of_bf16(scenes, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", nothing_known)
    result = mde_train("--recipe", "fast", "--data", scenes, "--out", tmp_path / "r", "--fast-dev-run", settings=SMALL)
    assert result.exit_code == 0, result.stderr


def test_a_hole_in_any_judged_frame_is_told_before_training(scenes: Path, tmp_path: Path):
    shutil.copytree(scenes, tmp_path / "holed")
    depth_file = tmp_path / "holed" / "depth" / "val" / "29.npy"
    depth_m = np.load(depth_file)
    depth_m[:3, :4] = 0
    np.save(depth_file, depth_m)
    result = mde_train("--recipe", "fast", "--data", tmp_path / "holed", "--out", tmp_path / "r", settings=SMALL)
    assert (result.exit_code, "frame 5: 12 pixels of the ground truth were not measured" in result.stderr) == (3, True)
    assert not (tmp_path / "r").exists()


def test_bf16_trains_with_a_bounded_gradient(scenes: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True)  # slow where it is not true
    settings = (*SMALL, "precision=bf16", "clip_gradient=0.1")
    result = mde_train("--recipe", "fast-demo", "--data", scenes, "--out", tmp_path / "r", settings=settings)
    assert result.exit_code == 0, result.output
    assert all(np.isfinite(value) for value in losses(tmp_path / "r").values())


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--recipe", "slow", "--data", ".", "--out", "r"], 2, "the recipes are resnet34-skip, mobilenetv2-skip, fast"),
        (["--recipe", "fast", "--data", "nowhere", "--out", "r"], 3, "nowhere"),
        (["--recipe", "fast"], 2, "pass --recipe NAME, --data DIR and --out RUN"),
        (["--resume", "--recipe", "fast", "--data", ".", "--out", "r"], 2, "pass only --data and --out"),
        (
            ["--recipe", "fast", "--data", "{scenes}", "--out", "r", "--init", "nothing.ckpt"],
            3,
            "nothing.ckpt: no such file",
        ),
        (["--recipe", "fast", "--data", "{scenes}", "--out", "r", "--set", "holdout=a..b"], 3, "use FIRST..LAST"),
        (["--recipe", "fast", "--data", "{scenes}", "--out", "r", "--set", "holdout=20..5"], 3, "use FIRST..LAST"),
        (["--recipe", "fast", "--data", "{scenes}", "--out", "r", "--set", "batch_size=99"], 3, "batch_size=24"),
        (["--recipe", "fast", "--data", "{scenes}", "--out", "r", "--set", "epochs=0"], 3, "recipe.epochs: 0 is out"),
    ],
)
def test_what_cannot_be_done_is_one_line(arguments, code, words, scenes: Path, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = mde_train(*(argument.format(scenes=scenes) for argument in arguments))
    assert result.exit_code == code, result.stderr
    assert words in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "r").exists()


def test_weights_that_are_given_twice_are_refused(scenes: Path, tmp_path: Path):
    arguments = ("--recipe", "resnet34-skip", "--data", scenes, "--out", tmp_path / "r", "--weights", "imagenet")
    result = mde_train(*arguments, settings=("model_options.weights=none",))
    words = "weights are set by --weights and by --set model_options.weights; use one of them"
    assert (result.exit_code, words in result.stderr) == (2, True), result.stderr


@pytest.mark.parametrize("name", FROZEN)
@pytest.mark.parametrize("none", [(), ("model_options.weights=none",)])
def test_random_weights_are_never_trained_frozen(name: str, none: tuple[str, ...], scenes: Path, tmp_path: Path):
    result = mde_train("--recipe", name, "--data", scenes, "--out", tmp_path / "r", settings=none)
    assert result.exit_code == 2, result.output
    assert re.search("parameters stay frozen; .*--weights imagenet.*--set model_options.is_frozen=false", result.stderr)
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "r").exists()


SEED = ("batch_size=4", "sky=clip")


@pytest.fixture(scope="module")
def resnet34(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of weights as torchvision's."""
    path = tmp_path_factory.mktemp("weights") / "resnet34.pth"
    torch.save(import_torchvision().models.resnet34().state_dict(), path)
    return path


def first_convolution(run: Path) -> torch.Tensor:
    return read_checkpoint(run / "last.ckpt").network.get_parameter("encoder_layers.0.weight")


def test_weights_that_are_given_stay_where_they_are_frozen(resnet34: Path, scenes: Path, tmp_path: Path):
    arguments = ("--recipe", "resnet34-seed", "--data", scenes, "--out", tmp_path / "r", "--fast-dev-run")
    result = mde_train(*arguments, "--weights", resnet34, settings=SEED)
    assert result.exit_code == 0, result.stderr
    assert "resnet34-seed: 9,536 of its 24,089,475 parameters stay frozen" in result.stderr
    assert torch.equal(first_convolution(tmp_path / "r"), torch.load(resnet34)["conv1.weight"])


def test_a_network_that_is_not_frozen_trains_from_random_weights(scenes: Path, tmp_path: Path):
    arguments = ("--recipe", "resnet34-seed", "--data", scenes, "--out", tmp_path / "r", "--fast-dev-run")
    result = mde_train(*arguments, settings=(*SEED, "model_options.is_frozen=false"))
    assert result.exit_code == 0, result.stderr
    assert "resnet34-seed: the whole network trains" in result.stderr
    frozen = ("--recipe", "resnet34-seed", "--data", scenes, "--out", tmp_path / "then", "--fast-dev-run")
    result = mde_train(*frozen, "--init", tmp_path / "r" / "last.ckpt", settings=SEED)
    assert result.exit_code == 0, "its weights are a start, frozen or not: " + result.stderr
    assert torch.equal(first_convolution(tmp_path / "then"), first_convolution(tmp_path / "r"))


@pytest.mark.parametrize("option", ["--devices", "--num-nodes"])
def test_no_device_and_no_machine_is_wrong_usage(option, scenes: Path, tmp_path: Path):
    result = mde_train("--recipe", "fast", "--data", scenes, "--out", tmp_path / "r", option, 0)
    assert (result.exit_code, "0 is not in the range x>=1" in result.stderr) == (2, True)


def test_a_trial_run_goes_through_everything_in_two_steps(scenes: Path, tmp_path: Path):
    result = mde_train("--recipe", "fast", "--data", scenes, "--out", tmp_path / "r", "--fast-dev-run", settings=SMALL)
    assert result.exit_code == 0, result.stderr
    assert sorted(losses(tmp_path / "r")) == [1, 2]
    assert {"best.ckpt", "last.ckpt", "pictures"} <= names(tmp_path / "r")


def test_a_trial_run_gives_way_to_the_run_that_it_tried(scenes: Path, tmp_path: Path):
    arguments = ("--recipe", "fast-demo", "--data", scenes, "--out", tmp_path / "r")
    for _ in range(2):
        assert mde_train(*arguments, "--fast-dev-run", settings=SMALL).exit_code == 0
    refused = mde_train("--resume", "--data", scenes, "--out", tmp_path / "r")
    assert (refused.exit_code, "holds a --fast-dev-run, which cannot be resumed" in refused.stderr) == (2, True)
    assert mde_train(*arguments, settings=(*SMALL, "evaluate_every_epochs=2")).exit_code == 0
    assert sorted(losses(tmp_path / "r")) == list(range(1, 13))
    assert sorted(losses(tmp_path / "r", "val_rmse_m")) == [12]
    assert names(tmp_path / "r" / "pictures") == {"000005.png", "000010.png"}
    assert mde_train("--resume", "--data", scenes, "--out", tmp_path / "r").exit_code == 0, "it is no trial"


def test_a_trials_checkpoint_is_never_taken_for_the_runs(scenes: Path, tmp_path: Path):
    arguments = ("--recipe", "fast-demo", "--data", scenes, "--out", tmp_path / "r")
    assert mde_train(*arguments, "--fast-dev-run", settings=SMALL).exit_code == 0
    assert interrupted(3, tmp_path / "r", "--data", scenes, settings=SMALL).exit_code == 130
    assert "last.ckpt" in names(tmp_path / "r")
    assert "best.ckpt" not in names(tmp_path / "r")


def test_weights_from_a_file_are_where_training_starts(finished: Path, scenes: Path, tmp_path: Path):
    settings = (*SMALL, "lr=0", "ema_decay=null", "epochs=1")
    arguments = ("--recipe", "fast", "--data", scenes, "--out", tmp_path / "r", "--init", finished / "best.ckpt")
    assert mde_train(*arguments, settings=settings).exit_code == 0
    before, after = (read_checkpoint(path).network for path in (finished / "best.ckpt", tmp_path / "r" / "last.ckpt"))
    assert all(torch.equal(*pair) for pair in zip(before.parameters(), after.parameters(), strict=True))


@pytest.mark.slow
def test_scenes_can_come_first_and_the_real_data_then(scenes: Path, tmp_path: Path):
    from mde_train.data.synth.dataset import synthesise

    synthesise(tmp_path / "synth", 20, 0)
    first, then = tmp_path / "first", tmp_path / "then"
    settings = ("batch_size=2", "epochs=1", "max_minutes=null", "ema_decay=null")
    arguments = ("--recipe", "fast", "--data", tmp_path / "synth", "--out", first)
    assert mde_train(*arguments, settings=settings).exit_code == 0
    arguments = ("--recipe", "fast", "--data", scenes, "--out", then, "--init", first / "best.ckpt")
    assert mde_train(*arguments, settings=settings).exit_code == 0
    heights_px = [read_checkpoint(run / "best.ckpt").contract.source.height_px for run in (first, then)]
    assert heights_px == [144, 24], "the contract is that of the data it was trained on last"


@pytest.mark.parametrize(
    ("recipe", "setting", "words"),
    [
        ("resnet34-skip", "seed=1", "a fast, and the recipe trains a resnet34-skip; use a recipe for fast"),
        ("cnn-fc", "model_options.width=8", "a fast, and the recipe trains a cnn-fc"),
    ],
)
def test_weights_of_another_model_are_refused_in_one_line(recipe, setting, words, finished, scenes, tmp_path):
    arguments = ("--recipe", recipe, "--data", scenes, "--out", tmp_path / "r", "--init", finished / "best.ckpt")
    result = mde_train(*arguments, settings=(*SMALL, setting))
    assert (result.exit_code, words in result.stderr) == (3, True), result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "r").exists()


def test_kitti_frames_of_two_sizes_train_once_they_are_cut(tmp_path: Path):
    root, chance = tmp_path / "kitti", np.random.default_rng(0)
    root.mkdir()
    for split in ("train", "val"):
        for number, size in enumerate([(47, 155), (46, 153)] * 2):
            Image.fromarray(chance.integers(0, 255, (*size, 3), np.uint8)).save(root / f"{split}{number}.png")
            levels = chance.integers(256, 80 * 256, size) * (chance.random(size) < 0.05)
            Image.fromarray(levels.astype(np.uint16)).save(root / f"{split}{number}_depth.png")
        lines = [f"{split}{number}.png {split}{number}_depth.png 721.5\n" for number in range(4)]
        (root / f"{split}_files.txt").write_text("".join(lines))
    arguments = ("--recipe", "fast", "--data", root, "--out", tmp_path / "r", "--fast-dev-run")
    refused = mde_train(*arguments, settings=("batch_size=2",))
    assert (refused.exit_code, 'write {"height_px": 46, "width_px": 153}' in refused.stderr) == (3, True)
    (root / "cut.json").write_text('{"height_px": 46, "width_px": 153}')
    unjudged = mde_train(*arguments, settings=("batch_size=2", "protocol=seed"))
    assert (unjudged.exit_code, "use one that does, such as plain" in unjudged.stderr) == (3, True)
    unranked = mde_train(*arguments, settings=("batch_size=2", "best_by=ssim - rmse_m"))
    assert (unranked.exit_code, "protocol kitti gives no ssim; --set best_by=-rmse_m" in unranked.stderr) == (2, True)
    assert not (tmp_path / "r").exists(), "told before training"
    result = mde_train(*arguments, settings=("batch_size=2",))
    assert result.exit_code == 0, result.stderr
    assert read_checkpoint(tmp_path / "r" / "best.ckpt").recipe["protocol"] == "kitti"
    source = read_checkpoint(tmp_path / "r" / "best.ckpt").contract.source
    assert (source.height_px, source.width_px) == (46, 153)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", [name for name in RECIPES if not name.startswith("fast")])
def test_every_recipe_trains(recipe: str, scenes: Path, tmp_path: Path):
    of_its_own = {"cnn-fc": "model_options.width=8"} | dict.fromkeys(FROZEN, "model_options.is_frozen=false")
    settings = ("batch_size=2", "protocol=seed", *filter(None, [of_its_own.get(recipe)]))
    arguments = ("--recipe", recipe, "--data", scenes, "--out", tmp_path / "r", "--fast-dev-run")
    result = mde_train(*arguments, settings=settings)
    assert result.exit_code == 0, result.stderr
    assert read_checkpoint(tmp_path / "r" / "best.ckpt").model == recipe


def test_training_stops_when_nothing_gets_better(scenes: Path, tmp_path: Path):
    settings = (*SMALL, "epochs=50", "patience=1", "lr=0", "ema_decay=null")
    result = mde_train("--recipe", "fast", "--data", scenes, "--out", tmp_path / "r", settings=settings)
    assert "no better result in 2 evaluations" in result.stderr
    assert max(losses(tmp_path / "r")) < 300
    before = (tmp_path / "r" / "last.ckpt").read_bytes()
    assert mde_train("--resume", "--data", scenes, "--out", tmp_path / "r").exit_code == 0
    longer = mde_train("--resume", "--data", scenes, "--out", tmp_path / "r", settings=("epochs=60",))
    assert (longer.exit_code, "ended by its patience, which cannot be changed" in longer.stderr) == (2, True)
    assert (tmp_path / "r" / "last.ckpt").read_bytes() == before, "it does not try again"


def test_show_prints_the_recipe_with_its_changes():
    shown = json.loads(mde_train("--show", "fast", settings=("lr=0.5",)).stdout)
    assert (shown["model"], shown["lr"]) == ("fast", 0.5)


def test_list_names_every_recipe():
    assert [line.split()[0] for line in mde_train("--list").stdout.splitlines()] == ["recipe", *RECIPES]


def test_list_says_of_every_recipe_what_it_is_for_and_where_it_is_from():
    _, *rows = mde_train("--list").stdout.splitlines()
    assert [row for row in rows if not re.search(r"\bfor\b|\bFor\b|what make demo", row)] == []
    assert [row for row in rows if not re.search(r"\b(19|20)\d\d\b|Ours", row)] == []


def test_a_checkpoint_knows_whether_it_has_seen_rendered_scenes_alone(scenes: Path, tmp_path: Path):
    rendered = shutil.copytree(scenes, tmp_path / "rendered")
    (rendered / "synth.json").touch()
    first, state = tmp_path / "first" / "best.ckpt", tmp_path / "state.pt"

    def seen(name: str, data: Path, *start: object) -> bool | None:
        trial = ("--recipe", "fast-demo", "--fast-dev-run", "--data", data, "--out", tmp_path / name)
        result = mde_train(*trial, *start, settings=("batch_size=4",))
        assert result.exit_code == 0, result.output
        return read_checkpoint(tmp_path / name / "best.ckpt").rendered

    assert seen("first", rendered) is True
    assert seen("second", rendered, "--init", first) is True
    assert seen("real", scenes, "--init", first) is False
    torch.save(read_checkpoint(first).network.state_dict(), state)
    assert seen("unknown", rendered, "--init", state) is None


def test_the_end_of_a_run_says_when_it_is_no_better_than_the_mean(scenes: Path, tmp_path: Path):
    run = ("--recipe", "fast-demo", "--data", scenes, "--out", tmp_path / "run")
    short = mde_train(*run, settings=(*SMALL, "lr=1e-9", "model_options.far_m=60"))
    assert short.exit_code == 0, short.output
    assert "no better than that yet: train longer" in short.stderr
    assert "next: mde-export" in short.stderr
    learnt = mde_train(*run[:-1], tmp_path / "long", settings=(*SMALL, "epochs=12", "evaluate_every_epochs=12"))
    assert "no better than that yet" not in learnt.stderr
