"""From a depth camera's two folders to a checkpoint, with no flag that names a protocol or a layout."""

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from mde_train.checkpoint import read_checkpoint
from mde_train.cli.data import main as mde_data
from mde_train.cli.train import main as mde_train
from mde_train.data import open_split

HEIGHT_PX, WIDTH_PX, NUM_FRAMES = 37, 53, 60


@pytest.fixture(scope="module")
def camera(tmp_path_factory):
    """Frames beside depth of 0.1 to 0.6 m in millimetres, 6 % of it holes: a camera above a table."""
    root = tmp_path_factory.mktemp("table")
    chance = np.random.default_rng(5)
    for folder in ("color", "depth"):
        (root / folder).mkdir()
    for index in range(NUM_FRAMES):
        metres = np.linspace(0.1 + index * 1e-3, 0.5, HEIGHT_PX)[:, None] + chance.uniform(0, 0.1, (1, WIDTH_PX))
        grey = np.clip(metres * 400, 0, 255)[..., None] + chance.uniform(-5, 5, (HEIGHT_PX, WIDTH_PX, 3))
        Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8)).save(root / "color" / f"{index:03}.png")
        metres[chance.random(metres.shape) < 0.06] = 0
        Image.fromarray((metres * 1000).astype(np.uint16)).save(root / "depth" / f"{index:03}.png")
    return root


@pytest.fixture(scope="module")
def split(camera):
    return run(mde_data, "split", camera)


@pytest.fixture(scope="module")
def trained(camera, split, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "table"
    assert split.exit_code == 0
    settings = ("epochs=2", "evaluate_every_epochs=1", "batch_size=8", "augment.mix=0", "model_options.far_m=0.7")
    chosen = [word for setting in settings for word in ("--set", setting)]
    return run(mde_train, "--recipe", "fast", "--data", camera, "--out", out, *chosen), out


def run(command, *arguments):
    return CliRunner().invoke(command, [str(argument) for argument in arguments], catch_exceptions=False)


def test_a_small_set_loses_a_tenth_to_gaps_at_most(camera, split):
    train, val = (open_split(camera, name) for name in ("train", "val"))
    assert len(train.skipped) <= NUM_FRAMES / 10
    assert len(train) + len(val) + len(train.skipped) == NUM_FRAMES
    assert "are in neither split" in split.stderr


@pytest.mark.parametrize("num_frames", [20, 60, 200, 700, 5000])
def test_the_gaps_of_a_set_of_any_size_take_a_tenth_at_most(num_frames):
    from mde_train.data.split import default_blocks, default_gap

    blocks = default_blocks(num_frames)
    assert 2 * blocks * default_gap(num_frames, blocks) <= num_frames / 10
    assert 1 <= blocks <= 4


def test_too_few_held_out_frames_are_told_before_training_with_the_ways_out(split, trained):
    assert "--val 0.5" in split.stderr
    assert "mde-export --frames" in split.stderr
    assert "training frames go with them" in trained[0].stderr


def test_zeros_need_no_flag_and_the_run_is_judged_by_the_plain_protocol(trained):
    result, out = trained
    assert result.exit_code == 0, result.stderr
    recipe = read_checkpoint(out / "best.ckpt").recipe
    assert (recipe["protocol"], recipe["best_by"]) == ("plain", "-rmse_m")


def test_the_range_of_the_run_is_its_contracts(trained):
    from_network = read_checkpoint(trained[1] / "best.ckpt").contract.from_network
    assert (from_network.near_m, from_network.far_m) == (0.0, 0.7)


def test_a_checkpoint_is_filled_up_with_training_frames_as_they_are(camera, trained):
    checkpoint = read_checkpoint(trained[1] / "best.ckpt")
    train, val = (open_split(camera, name) for name in ("train", "val"))
    assert len(checkpoint.heldout_frames) == len(val)
    assert len(checkpoint.filler_frames) == min(64 - len(val), len(train))
    known = {sample.frame.tobytes() for sample in train}
    assert {frame.tobytes() for frame in checkpoint.filler_frames} <= known


def test_weights_to_share_hold_no_picture_and_the_same_network(trained):
    best, shared = (read_checkpoint(trained[1] / name) for name in ("best.ckpt", "weights.ckpt"))
    assert len(shared.heldout_frames) == len(shared.filler_frames) == 0
    ours = best.network.state_dict()
    assert all(torch.equal(value, ours[name]) for name, value in shared.network.state_dict().items())


def test_the_end_says_the_best_the_mean_image_and_what_to_type(trained):
    result, out = trained
    assert result.stdout.strip() == str(out / "best.ckpt")
    lines = result.stderr.splitlines()
    assert any(line.startswith("best: epoch ") and "rmse_m" in line for line in lines)
    assert any("mean of the training depths" in line for line in lines)
    assert lines[-1] == f"next: mde-export {out / 'best.ckpt'} --fp16 -o table.mde"
