from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mde_runtime.errors import BadInputError
from mde_train.data import FrameArrays, open_split, splits_of
from mde_train.data.split import hold_out
from mde_train.recipe import NOTHING
from mde_train.recipes import recipe_named
from mde_train.training_data import TrainingFrames, load_data


def frames(number: int = 10, batch_size: int = 4, seed: int = 0) -> TrainingFrames:
    pixels = np.arange(number, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 6, 3), np.uint8)
    depth_m = np.ones((number, 4, 6), np.float16)
    arrays = FrameArrays(tuple(map(str, range(number))), pixels, depth_m, depth_m > 0, "")
    return TrainingFrames(arrays, batch_size, seed)


def test_an_epoch_sees_no_frame_twice():
    names = [name for step in range(2) for name in frames().batch(step, NOTHING).names]
    assert len(set(names)) == 8


def test_epochs_are_shuffled_anew():
    first, second = ([frames().batch(epoch * 2 + step, NOTHING).names for step in range(2)] for epoch in range(2))
    assert first != second


def test_a_batch_is_a_function_of_the_seed_and_the_step_alone():
    late = frames()
    for step in range(5):
        late.batch(step, NOTHING)
    assert late.batch(1, NOTHING).names == frames().batch(1, NOTHING).names
    assert frames(seed=1).batch(1, NOTHING).names != frames().batch(1, NOTHING).names


def test_a_frame_keeps_its_name():
    batch = frames().batch(0, NOTHING)
    assert [str(int(value)) for value in batch.frames[:, 0, 0, 0]] == list(batch.names)


def test_devices_share_a_batch_without_overlap():
    batch = frames().batch(0, NOTHING)
    parts = [batch.part(rank, 2) for rank in range(2)]
    assert sorted(name for part in parts for name in part.names) == sorted(batch.names)
    assert all(len(part.frames) == len(part.names) == 2 for part in parts)
    assert torch.equal(parts[1].frames[0], batch.frames[1])


@pytest.fixture
def nyu(tmp_path: Path) -> Path:
    """40 training frames and 2 test frames of 240x320 px in NYU's csv layout: no val."""
    for split, number in (("train", 40), ("test", 2)):
        lines = []
        for index in range(number):
            frame, depth = f"data/{split}/{index}.jpg", f"data/{split}/{index}.png"
            (tmp_path / frame).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (320, 240), (index, 0, 0)).save(tmp_path / frame)
            levels = (
                np.tile(np.arange(320), (240, 1)) % 256 if split == "train" else np.full((240, 320), 2500 * (index + 1))
            )
            Image.fromarray(levels.astype(np.uint8 if split == "train" else np.uint16)).save(tmp_path / depth)
            lines.append(f"{frame},{depth}\n")
        (tmp_path / "data" / f"nyu2_{split}.csv").write_text("".join(lines))
    return tmp_path


def test_without_val_a_stretch_of_the_training_frames_is_judged_on_and_said(nyu: Path, capsys):
    data = load_data(nyu, recipe_named("cnn"))
    assert data.judged.names == ("train/19", "train/20")
    beside = {f"train/{index}" for index in range(9, 31)}  # ten frames on both sides look like the stretch's ends
    assert set(data.train.names) == {f"train/{index}" for index in range(40)} - beside
    assert "judged on 2 training frames, train/19 to train/20, and not on test" in capsys.readouterr().err


def test_a_val_that_is_split_off_is_judged_on_and_test_is_left_alone(nyu: Path):
    hold_out(nyu, 0.1, 1, 0)
    assert splits_of(nyu) == ("train", "val", "test")
    data = load_data(nyu, recipe_named("cnn"))
    assert data.judged.names == open_split(nyu, "val").names
    assert len(data.train) == 36


def test_frames_are_kept_at_the_networks_size_and_judged_at_their_own(nyu: Path):
    data = load_data(nyu, recipe_named("cnn"))
    assert data.train.frames.shape[1:3] == (228, 304)
    assert data.judged.frames.shape[1:3] == data.heldout.frames.shape[1:3] == (240, 320)
    assert data.contract.source.height_px == 240


@pytest.mark.parametrize("holdout", ["train/20..train/5", "train/5", "train/5..train/40", "a..b"])
def test_a_stretch_that_is_not_among_the_training_frames_is_refused(nyu: Path, holdout):
    with pytest.raises(BadInputError, match=f"holdout '{holdout}': no such frames; use FIRST..LAST, from train/0 to"):
        load_data(nyu, replace(recipe_named("cnn"), holdout=holdout))


@pytest.mark.parametrize("depth_m", [0, 7])
def test_what_was_not_measured_is_no_variation_of_depth(nyu: Path, depth_m):
    levels = np.zeros((240, 320), np.uint16)
    levels[:, 160:] = 1000 * depth_m
    for index in range(2):
        Image.fromarray(levels).save(nyu / "data" / "test" / f"{index}.png")
    with pytest.raises(BadInputError, match=r"the depth of test varies by 0 m"):
        load_data(nyu, recipe_named("cnn"))


def test_depth_that_is_all_beyond_the_range_is_no_variation_of_depth(nyu: Path):
    (nyu / "layout.json").write_text('{"frames": "f", "depth": "d", "metres_per_unit": 1.0}')  # of millimetres
    for split, number in (("train", 16), ("val", 2)):
        for kind in ("f", "d"):
            (nyu / kind / split).mkdir(parents=True)
        for index in range(number):
            Image.new("RGB", (64, 32)).save(nyu / "f" / split / f"{index}.png")
            levels = np.tile(np.linspace(500, 9000, 64), (32, 1)).astype(np.uint16)
            Image.fromarray(levels).save(nyu / "d" / split / f"{index}.png")
    with pytest.raises(BadInputError, match=r"the depth of val varies by 0 m within the model's range of 0 to 20 m"):
        load_data(nyu, recipe_named("fast"))
    (nyu / "layout.json").write_text('{"frames": "f", "depth": "d", "metres_per_unit": 0.001}')
    assert load_data(nyu, recipe_named("fast")).heldout.depth_m.max() == 9


def test_judging_takes_at_most_300_frames_spread_over_the_split(tmp_path: Path):
    for split, number in (("train", 4), ("val", 700)):
        for kind in ("rgb", "depth"):
            (tmp_path / kind / split).mkdir(parents=True)
        for index in range(number):
            Image.new("RGB", (8, 6)).save(tmp_path / "rgb" / split / f"{index}.jpeg")
            np.save(tmp_path / "depth" / split / f"{index}.npy", np.linspace(1, 19, 48, dtype=np.float32).reshape(6, 8))
    data = load_data(tmp_path, recipe_named("fast"))
    names = [int(name) for name in data.judged.names]
    assert (len(names), names[0], names[-1]) == (300, 0, 699)
    assert set(np.diff(names)) == {2, 3}
    assert len(data.heldout) == 64


def test_too_few_frames_for_a_batch_are_refused_with_the_remedy():
    with pytest.raises(BadInputError, match="--set batch_size=3"):
        frames(number=3)
