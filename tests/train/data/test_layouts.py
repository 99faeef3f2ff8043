"""Every layout on a small sample in the real format, and what each refuses."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from mde_runtime.errors import BadInputError
from mde_train.data import load_arrays, open_split, splits_of
from mde_train.layout_table import LAYOUTS

HEIGHT_PX, WIDTH_PX = 6, 8
FRAME = np.random.default_rng(0).integers(0, 255, (HEIGHT_PX, WIDTH_PX, 3), np.uint8)
LEVELS = np.arange(HEIGHT_PX * WIDTH_PX, dtype=np.uint16).reshape(HEIGHT_PX, WIDTH_PX)


def save(path: Path, picture: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)
    return path


def nyu_csv(root: Path) -> Path:
    save(root / "data/nyu2_train/living_room_0038_out/37.jpg", FRAME)
    save(root / "data/nyu2_train/living_room_0038_out/37.png", (LEVELS * 5).astype(np.uint8))
    save(root / "data/nyu2_test/00000_colors.png", FRAME)
    save(root / "data/nyu2_test/00000_depth.png", LEVELS * 200)
    for split, image, depth in (
        ("train", "living_room_0038_out/37.jpg", "living_room_0038_out/37.png"),
        ("test", "00000_colors.png", "00000_depth.png"),
    ):
        folder = f"data/nyu2_{split}"
        (root / f"{folder}.csv").write_text(f"{folder}/{image},{folder}/{depth}\n")
    return root


def nyu_mat(root: Path) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    with h5py.File(root / "nyu_depth_v2_labeled.mat", "w") as file:
        file["images"] = np.stack([FRAME.transpose(2, 1, 0)] * 3)
        file["rawDepths"] = np.stack([(LEVELS * np.float32(0.1) * n).T for n in (1, 2, 3)])
    savemat(root / "splits.mat", {"trainNdxs": np.array([[1], [3]]), "testNdxs": np.array([[2]])})
    return root


def kitti(root: Path) -> Path:
    drive = "2011_09_26/2011_09_26_drive_0002_sync"
    save(root / drive / "image_02/data/0000000069.png", FRAME)
    save(root / drive / "image_03/data/0000000007.jpg", FRAME)
    save(root / drive / "image_02/data/0000000000.png", FRAME)
    truth = "2011_09_26_drive_0002_sync/proj_depth/groundtruth"
    save(root / "val" / truth / "image_02/0000000069.png", LEVELS * 256)
    save(root / "train" / truth / "image_03/0000000007.png", LEVELS * 256)
    (root / "train_files.txt").write_text(f"{drive} 7 r\n")
    (root / "test_files.txt").write_text(
        f"{drive}/image_02/data/0000000069.png {truth}/image_02/0000000069.png 721.5377\n"
        f"{drive}/image_02/data/0000000000.png None 721.5377\n"
    )
    return root


def folders(root: Path) -> Path:
    for split in ("train", "val"):
        save(root / "images" / split / "a.png", FRAME)
        save(root / "images" / split / "b.jpg", FRAME)
        save(root / "depth" / split / "a.png", LEVELS * 10)
        np.save(root / "depth" / split / "b.npy", LEVELS.astype(np.float64) * 10)
    declared = {"frames": "images", "depth": "depth", "metres_per_unit": 0.1}
    (root / "layout.json").write_text(json.dumps(declared))
    return root


def guessed(root: Path) -> Path:
    for split in ("train", "val"):
        save(root / "colour" / split / "a.png", FRAME)
        save(root / "depth" / split / "a.png", LEVELS * 1000)
    return root


def unreal(root: Path) -> Path:
    for split, name in (("train", "0"), ("train", "1"), ("val", "2")):
        save(root / "rgb" / split / f"{name}.jpeg", FRAME)
        (root / "depth" / split).mkdir(parents=True, exist_ok=True)
        np.save(root / "depth" / split / f"{name}.npy", LEVELS.astype(np.float32))
    return root


# what writes a sample, its splits with their frames, and the metres of LEVELS in each split's first frame
SAMPLES = {
    "unreal": (unreal, {"train": ("0", "1"), "val": ("2",)}, {"train": 1.0, "val": 1.0}),
    "folders": (folders, {"train": ("a", "b"), "val": ("a", "b")}, {"train": 1.0, "val": 1.0}),
    "guessed": (guessed, {"train": ("a",), "val": ("a",)}, {"train": 1.0, "val": 1.0}),
    "nyu-csv": (
        nyu_csv,
        {"train": ("living_room_0038_out/37",), "test": ("nyu2_test/00000_colors",)},
        {"train": 5 * 10 / 255, "test": 0.2},
    ),
    "nyu-mat": (nyu_mat, {"train": ("1", "3"), "test": ("2",)}, {"train": 0.1, "test": 0.2}),
    "kitti": (
        kitti,
        {
            "train": ("2011_09_26/2011_09_26_drive_0002_sync/image_03/data/0000000007",),
            "test": ("2011_09_26/2011_09_26_drive_0002_sync/image_02/data/0000000069",),
        },
        {"train": 1.0, "test": 1.0},
    ),
}


def test_every_layout_has_a_sample():
    assert set(SAMPLES) == set(LAYOUTS)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layout_is_known_by_what_lies_in_the_folder(layout, tmp_path):
    write, names, _ = SAMPLES[layout]
    assert splits_of(write(tmp_path)) == tuple(names)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_depth_comes_in_metres_and_zero_is_no_measurement(layout, tmp_path):
    write, names, scales_m = SAMPLES[layout]
    root = write(tmp_path)
    for split, scale_m in scales_m.items():
        samples = open_split(root, split)
        assert samples.names == names[split]
        sample = samples[0]
        assert (sample.frame.shape, sample.frame.dtype) == (FRAME.shape, np.uint8)
        assert sample.depth_m.dtype == np.float32
        np.testing.assert_allclose(sample.depth_m, LEVELS * scale_m, rtol=1e-6)
        np.testing.assert_array_equal(sample.valid, LEVELS > 0)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_stacks_and_has_a_hash(layout, tmp_path):
    write, names, _ = SAMPLES[layout]
    arrays = load_arrays(open_split(write(tmp_path), "train"))
    assert arrays.frames.shape == (len(names["train"]), *FRAME.shape)
    assert len(arrays.sha256) == 64


@pytest.mark.parametrize("layout", ["folders", "nyu-csv", "nyu-mat", "kitti"])
def test_frames_without_loss_come_as_they_were_written(layout, tmp_path):
    split = "test" if layout != "folders" else "train"
    np.testing.assert_array_equal(open_split(SAMPLES[layout][0](tmp_path), split)[0].frame, FRAME)


def test_both_depths_of_the_plain_folders_are_scaled(tmp_path):
    png, npy = open_split(folders(tmp_path), "train")
    np.testing.assert_array_equal(png.depth_m, npy.depth_m)


def test_plain_folders_without_splits_are_all_train(tmp_path):
    root = folders(tmp_path)
    for kind in ("images", "depth"):
        for file in (root / kind / "train").iterdir():
            file.rename(root / kind / file.name)
    for split in ("images/train", "depth/train", "images/val", "depth/val"):
        for file in (root / split).iterdir():
            file.unlink()
        (root / split).rmdir()
    assert splits_of(root) == ("train",)
    assert open_split(root, "train").names == ("a", "b")


@pytest.mark.parametrize(
    ("declared", "reason"),
    [
        ({"frames": "images", "depth": "depth", "metres_per_unit": 0.0}, "metres_per_unit 0.0 is not a scale"),
        ({"frames": "images", "depth": "depth"}, "metres_per_unit"),
        ({"frames": "../images", "depth": "depth", "metres_per_unit": 1.0}, "is not a path inside"),
        ({"frames": "pictures", "depth": "depth", "metres_per_unit": 1.0}, "pictures: no such folder"),
    ],
)
def test_a_wrong_declaration_is_refused(tmp_path, declared, reason):
    root = folders(tmp_path)
    (root / "layout.json").write_text(json.dumps(declared))
    with pytest.raises(BadInputError, match=reason):
        open_split(root, "train")


def test_two_frames_of_one_name_are_refused(tmp_path):
    root = folders(tmp_path)
    save(root / "images/train/a.jpg", FRAME)
    with pytest.raises(BadInputError, match=r"a\.png: a\.jpg has the same name; keep one of them"):
        open_split(root, "train")


def test_nyus_data_folder_is_found_from_within_too(tmp_path):
    root = nyu_csv(tmp_path)
    assert open_split(root / "data", "test").sha256 == open_split(root, "test").sha256


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("data/only_one.jpg", "line 2: 'data/only_one.jpg' is not `image,depth`"),
        ("data/a.jpg,../../secret.png", "line 2: '../../secret.png' is not a path inside"),
        ("data/a.jpg,/etc/passwd", "line 2: '/etc/passwd' is not a path inside"),
    ],
)
def test_a_line_of_nyus_list_that_is_no_pair_of_paths_inside_is_refused(tmp_path, line, reason):
    root = nyu_csv(tmp_path)
    with (root / "data/nyu2_train.csv").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(BadInputError, match=reason):
        open_split(root, "train")


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xff\xfe\x00bad"])
def test_an_empty_or_binary_list_is_refused(tmp_path, content):
    root = nyu_csv(tmp_path)
    (root / "data/nyu2_train.csv").write_bytes(content)
    with pytest.raises(BadInputError, match=r"nyu2_train\.csv: (lists no frames|not a text file); copy it again"):
        open_split(root, "train")


def test_a_listed_picture_that_is_missing_is_named(tmp_path):
    root = nyu_csv(tmp_path)
    (root / "data/nyu2_test/00000_depth.png").unlink()
    with pytest.raises(BadInputError, match=r"00000_depth\.png: no such file"):
        open_split(root, "test")[0]


def test_depth_that_is_a_colour_picture_is_refused(tmp_path):
    root = nyu_csv(tmp_path)
    save(root / "data/nyu2_test/00000_depth.png", FRAME)
    with pytest.raises(BadInputError, match="a picture of mode RGB; depth is a grey PNG of 8 or 16 bits"):
        open_split(root, "test")[0]


def test_a_frame_of_16_bits_is_refused(tmp_path):
    root = folders(tmp_path)
    save(root / "images/train/a.png", LEVELS)
    with pytest.raises(BadInputError, match=r"a\.png: a picture of mode I;16 with more than 8 bits per channel"):
        open_split(root, "train")[0]


def test_kitti_frames_without_ground_truth_are_left_out_and_named(tmp_path):
    (skipped,) = open_split(kitti(tmp_path), "test").skipped
    assert skipped.name.endswith("image_02/data/0000000000")
    assert skipped.reason == "no ground truth"


def test_kitti_whose_depth_is_not_unpacked_says_so(tmp_path):
    root = kitti(tmp_path)
    next((root / "train").rglob("*.png")).unlink()
    with pytest.raises(BadInputError, match=r"every frame of train is left out; the first is .*, no ground truth"):
        open_split(root, "train")


def test_kitti_depth_of_8_bits_is_refused(tmp_path):
    root = kitti(tmp_path)
    depth = next((root / "train").rglob("*.png"))
    save(depth, LEVELS.astype(np.uint8))
    with pytest.raises(BadInputError, match="8 bits; KITTI's depth has 16"):
        open_split(root, "train")[0]


def test_a_line_of_kittis_list_that_is_neither_kind_is_refused(tmp_path):
    root = kitti(tmp_path)
    (root / "train_files.txt").write_text("just_one_word\n")
    with pytest.raises(BadInputError, match="line 1: neither `image depth"):
        open_split(root, "train")


def test_nyus_mat_without_its_splits_says_what_is_missing(tmp_path):
    root = nyu_mat(tmp_path)
    (root / "splits.mat").unlink()
    with pytest.raises(BadInputError, match=r"splits\.mat: no such file; download it from the same page"):
        open_split(root, "train")


@pytest.mark.parametrize("file", ["nyu_depth_v2_labeled.mat", "splits.mat"])
def test_a_mat_file_that_is_none_is_named(tmp_path, file):
    root = nyu_mat(tmp_path)
    (root / file).write_bytes(b"<html>moved</html>")
    with pytest.raises(BadInputError, match=f"{file}: (not a whole MATLAB v7.3 file|contains no readable trainNdxs)"):
        open_split(root, "train")


@pytest.mark.parametrize("file", ["nyu_depth_v2_labeled.mat", "splits.mat"])
@pytest.mark.parametrize("share", [0.3, 0.6])
def test_a_mat_file_that_is_cut_off_is_named(tmp_path, file, share):
    root = nyu_mat(tmp_path)
    content = (root / file).read_bytes()
    (root / file).write_bytes(content[: int(share * len(content))])
    with pytest.raises(BadInputError, match=f"{file}: .* copy it again"):
        list(open_split(root, "train"))


@pytest.mark.parametrize("numbers", [[0, 1], [4], []])
def test_splits_that_do_not_number_the_frames_from_1_are_refused(tmp_path, numbers):
    root = nyu_mat(tmp_path)
    savemat(root / "splits.mat", {"trainNdxs": np.array(numbers, float), "testNdxs": np.array([2])})
    with pytest.raises(BadInputError, match="trainNdxs does not number the 3 frames"):
        open_split(root, "train")


def test_a_mat_file_whose_arrays_do_not_fit_is_refused(tmp_path):
    root = nyu_mat(tmp_path)
    with h5py.File(root / "nyu_depth_v2_labeled.mat", "w") as file:
        file["images"] = np.zeros((3, 3, WIDTH_PX, HEIGHT_PX), np.uint8)
        file["rawDepths"] = np.zeros((2, WIDTH_PX, HEIGHT_PX), np.float32)
    with pytest.raises(BadInputError, match=r"are not \(N, 3, W, H\) and \(N, W, H\)"):
        open_split(root, "train")
