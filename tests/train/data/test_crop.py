"""Frames of KITTI's sizes, an eighth of them each way, in KITTI's format."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mde_runtime.errors import BadInputError
from mde_train.data import load_arrays, open_split

SIZES_PX = ((47, 155), (46, 153))
CUT_PX = (44, 152)


@pytest.fixture
def kitti(tmp_path: Path) -> Path:
    chance = np.random.default_rng(0)
    for number, (height_px, width_px) in enumerate(SIZES_PX):
        Image.fromarray(chance.integers(0, 255, (height_px, width_px, 3), np.uint8)).save(tmp_path / f"{number}.png")
        levels = chance.integers(0, 80 * 256, (height_px, width_px)) * (chance.random((height_px, width_px)) < 0.05)
        Image.fromarray(levels.astype(np.uint16)).save(tmp_path / f"{number}_depth.png")
    lines = "".join(f"{number}.png {number}_depth.png 721.5\n" for number in range(len(SIZES_PX)))
    (tmp_path / "train_files.txt").write_text(lines)
    (tmp_path / "test_files.txt").write_text(lines)
    return tmp_path


def declare(root: Path, height_px: int, width_px: int) -> None:
    (root / "cut.json").write_text(json.dumps({"height_px": height_px, "width_px": width_px}))


def test_frames_of_two_sizes_are_refused_with_what_to_write(kitti):
    with pytest.raises(BadInputError, match=r'write {"height_px": 46, "width_px": 153} to .*cut\.json'):
        load_arrays(open_split(kitti, "train"))


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_cut_keeps_the_middle_columns_and_the_lowest_rows_of_frame_and_depth(kitti, split):
    whole = list(open_split(kitti, split))
    declare(kitti, *CUT_PX)
    arrays = load_arrays(open_split(kitti, split))
    for index, sample in enumerate(whole):
        height_px, width_px = SIZES_PX[index]
        left = (width_px - CUT_PX[1]) // 2
        seen = (slice(height_px - CUT_PX[0], height_px), slice(left, left + CUT_PX[1]))
        np.testing.assert_array_equal(arrays.frames[index], sample.frame[seen])
        np.testing.assert_array_equal(arrays.depth_m[index], sample.depth_m[seen])
        np.testing.assert_array_equal(arrays.valid[index], sample.valid[seen])


def test_another_cut_is_other_data(kitti):
    hashes = {open_split(kitti, "train").sha256}
    for size in (CUT_PX, (40, 152)):
        declare(kitti, *size)
        hashes.add(open_split(kitti, "train").sha256)
    assert len(hashes) == 3


def test_a_frame_that_is_too_small_for_the_cut_is_named_with_what_fits(kitti):
    declare(kitti, 47, 100)
    with pytest.raises(BadInputError, match=r'frame 1 has 46x153 px.*write {"height_px": 46, "width_px": 100}'):
        load_arrays(open_split(kitti, "train"))


@pytest.mark.parametrize("text", ["{", '{"height_px": 0, "width_px": 5}', '{"height_px": 5}', "[]"])
def test_a_damaged_cut_is_named(kitti, text):
    (kitti / "cut.json").write_text(text)
    with pytest.raises(BadInputError, match=r"cut\.json"):
        open_split(kitti, "train")
