"""A data set that nothing declares: folders are found by what their files hold, and a guess can be saved."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from mde_runtime.errors import BadInputError
from mde_train.cli.data import main
from mde_train.data import name_of_layout, open_split, protocol_of
from mde_train.data.advice import range_end_m
from mde_train.data.layouts.guessed import guess

HEIGHT_PX, WIDTH_PX = 12, 16


@pytest.fixture
def camera(tmp_path):
    """A function that records frames beside depth of 1.3 to 6.1 m as a depth camera does: PNG, mm, 6 % holes."""

    def record(frames="color", depth="aligned_depth", num_frames=6, unit=1000, kind="png", root=tmp_path):
        chance = np.random.default_rng(3)
        for folder in (frames, depth):
            (root / folder).mkdir(parents=True, exist_ok=True)
        for index in range(num_frames):
            colours = chance.integers(0, 255, (HEIGHT_PX, WIDTH_PX, 3), np.uint8)
            Image.fromarray(colours).save(root / frames / f"{index:04}.jpg")
            metres = chance.uniform(1.3, 6.1, (HEIGHT_PX, WIDTH_PX))
            metres[chance.random(metres.shape) < 0.06] = 0
            if kind == "png":
                Image.fromarray((metres * unit).astype(np.uint16)).save(root / depth / f"{index:04}.png")
            else:
                np.save(root / depth / f"{index:04}.npy", (metres * unit).astype(np.float32))
        return root

    return record


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.mark.parametrize(
    "names", [("color", "aligned_depth"), ("rgb", "depth"), ("a/left", "a/z"), ("images", "images/depth")]
)
@pytest.mark.parametrize(("unit", "kind"), [(1000, "png"), (1, "npy"), (1000, "npy")])
def test_frames_and_depth_are_found_whatever_they_are_called_and_come_in_metres(camera, names, unit, kind):
    root = camera(*names, unit=unit, kind=kind)
    assert name_of_layout(root) == "guessed"
    sample = open_split(root, "train")[0]
    assert 1.2 < sample.depth_m[sample.valid].min() < sample.depth_m.max() < 6.2
    assert 0 < (~sample.valid).mean() < 0.2


def test_two_cameras_are_not_chosen_between(camera):
    camera("left", "depth")
    root = camera("right", "depth")
    with pytest.raises(BadInputError, match=r"several folders .*: left with depth, right with depth; declare one pair"):
        open_split(root, "train")


def test_other_folders_do_not_matter(camera):
    root = camera()
    camera("thumbnails", "confidence", num_frames=2)
    (root / "notes").mkdir()
    assert len(open_split(root, "train")) == 6


def test_grey_frames_are_found_and_a_grey_preview_of_depth_is_not_taken_for_them(camera):
    root = camera("left", "depth")
    camera("preview", "depth")
    for folder in ("left", "preview"):
        for file in (root / folder).iterdir():
            Image.open(file).convert("L").save(file)
    with pytest.raises(BadInputError, match="several folders"):
        name_of_layout(root)
    for file in (root / "preview").iterdir():
        file.unlink()
    assert open_split(root, "train")[0].frame.shape == (HEIGHT_PX, WIDTH_PX, 3)
    camera("color", "depth")
    camera("preview", "depth")
    for file in (root / "preview").iterdir():
        Image.open(file).convert("L").save(file)
    assert guess(root).frames == "color"


def test_pictures_alone_are_no_data_set(camera):
    root = camera("color", "color2", kind="png")
    for file in (root / "color2").iterdir():
        file.unlink()
    with pytest.raises(BadInputError, match="not a supported layout"):
        name_of_layout(root)


def test_a_saved_guess_reads_the_same_and_can_be_corrected(camera):
    root = camera()
    before = open_split(root, "train")[0].depth_m
    assert run("check", root, "--write-layout").exit_code == 0
    assert name_of_layout(root) == "folders"
    assert np.array_equal(open_split(root, "train")[0].depth_m, before)
    declared = json.loads((root / "layout.json").read_text())
    (root / "layout.json").write_text(json.dumps(declared | {"metres_per_unit": 0.002}))
    np.testing.assert_allclose(open_split(root, "train")[0].depth_m, before * 2, rtol=1e-6)


def test_a_layout_that_is_no_guess_is_not_overwritten(camera):
    root = camera()
    assert run("check", root, "--write-layout").exit_code == 0
    again = run("check", root, "--write-layout")
    assert (again.exit_code, "its layout is folders, which is not a guess" in again.stderr) == (2, True)


def test_check_says_the_guess_the_range_and_what_to_type(camera):
    root = camera()
    found = run("check", root)
    assert "frames in color, depth in aligned_depth, 0.001 metres a unit" in found.stderr
    assert f"mde-train --recipe fast --data {root}" in found.stderr
    assert "--set model_options.far_m=6.5" in found.stderr
    assert f"mde-data split {root}" in found.stderr


def test_check_says_what_the_range_to_type_clips(camera):
    root = camera(num_frames=1)
    assert "is clipped" not in run("check", root).stderr
    levels = np.asarray(Image.open(root / "aligned_depth" / "0000.png")).copy()
    levels[0, 0] = 40_000
    Image.fromarray(levels).save(root / "aligned_depth" / "0000.png")
    assert "the rest, up to 40 m, is clipped to 6.5 m" in run("check", root).stderr


def test_check_doubts_a_unit_that_no_camera_has(camera):
    root = camera()
    run("check", root, "--write-layout")
    (root / "layout.json").write_text((root / "layout.json").read_text().replace("0.001", "1.0"))
    found = run("check", root)
    assert found.exit_code == 0
    assert "is the unit right?" in found.stderr
    assert "mde-train" not in found.stderr


def test_a_guess_is_judged_by_the_plain_protocol(camera):
    assert protocol_of(camera()) == "plain"


@pytest.mark.parametrize(
    ("far_m", "end_m"), [(0.57, 0.6), (3.7, 4.0), (4.0, 4.0), (6.1, 6.5), (61.0, 65.0), (1.0, 1.0)]
)
def test_the_end_of_a_range_is_a_round_number(far_m, end_m):
    assert range_end_m(far_m) == pytest.approx(end_m)


def test_what_macos_leaves_beside_each_file_is_no_frame_and_no_depth(camera):
    root = camera()
    expected = guess(root)
    for path in [path for path in root.rglob("*") if path.is_file()]:
        path.with_name(f"._{path.name}").write_bytes(b"\x00\x05\x16\x07")
    assert guess(root) == expected
    assert len(open_split(root, "train")) == 6
