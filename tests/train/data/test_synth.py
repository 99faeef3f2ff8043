import dataclasses
import itertools
import json
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from mde_runtime.errors import BadInputError, UsageError
from mde_train.data import open_split
from mde_train.data.synth.dataset import synthesise
from mde_train.data.synth.drive import make_drive
from mde_train.data.synth.frames import LARGEST_WALL_SHARE, make_frame, shows_enough, split_of
from mde_train.data.synth.render import cast_rays, ray_directions, render
from mde_train.data.synth.room import room
from mde_train.data.synth.scene import FAR_M, FOCAL_PX, Camera, Lens, Light, Material, Scene, Thing
from mde_train.data.synth.shapes import Box, Ellipsoid, Ground, Pole, Shape
from mde_train.data.synth.texture import TEXTURE_INDEX, TEXTURES, look_up

GREY = Material("painted", (0.4, 0.4, 0.4), (0.4, 0.4, 0.4))
DAY = Light(0.6, 0.3, (0.0, 1.0, 0.0), 0.0, 0.014, (0.7, 0.7, 0.7), (0.3, 0.5, 0.8), 0.5)
LEVEL = Camera((0.0, 1.5, 0.0), yaw=0.0, pitch=0.0, roll=0.0)
CENTRE = (72, 128)  # half a pixel below and right of the optical axis


def scene(*shapes: Shape, camera: Camera = LEVEL) -> Scene:
    return Scene("street", camera, DAY, tuple(Thing.of(shape, GREY) for shape in shapes), ())


def depth_of(*shapes: Shape, camera: Camera = LEVEL) -> np.ndarray:
    return cast_rays(scene(*shapes, camera=camera), ray_directions(camera)).depth_m


def test_depth_of_flat_ground_is_height_times_focal_length_over_rows_below_the_horizon():
    depth_m = depth_of(Ground(0.0, -1e4, 1e4))
    rows = np.arange(144) - 71.5
    for column in (0, 128, 255):  # z-depth: the same along a row, which the distance along the ray is not
        np.testing.assert_allclose(depth_m[73:, column], 1.5 * FOCAL_PX / rows[73:], rtol=1e-5)
    assert np.isinf(depth_m[:72]).all()


def test_depth_of_a_wall_ahead_is_the_same_everywhere():
    np.testing.assert_allclose(depth_of(Box((0, 0, 11), (100, 100, 1))), 10, rtol=1e-5)


@pytest.mark.parametrize(
    ("shape", "depth_m"),
    [
        (Box((0, 1.5, 6), (0.5, 0.5, 1)), 5.0),
        (Box((0, 1.5, 6), (0.5, 0.5, 0.5), yaw=np.pi / 4), 6 - np.sqrt(0.5)),
        (Box((0, 1.5, 0), (4, 3, 7), is_room=True), 7.0),
        (Ellipsoid((0, 1.5, 6), (1, 2, 3)), 3.0),
        (Pole((0, 0, 6), 0.5, 3), 5.5),
    ],
)
def test_a_shape_ahead_is_met_where_geometry_says(shape, depth_m):
    assert depth_of(shape)[CENTRE] == pytest.approx(
        depth_m, abs=0.03
    )  # the pixel lies half a pixel, 2 cm, off the axis


@pytest.mark.parametrize(
    "shape", [Box((0, 1.5, -6), (1, 1, 1)), Ellipsoid((0, 1.5, -6), (1, 1, 1)), Pole((0, 0, -6), 0.5, 3)]
)
def test_a_shape_behind_the_camera_is_not_seen(shape):
    assert np.isinf(depth_of(shape)).all()


def test_the_nearer_of_two_shapes_is_seen_whatever_their_order():
    near, far = Box((0, 1.5, 5), (1, 1, 1)), Box((0, 1.5, 15), (3, 3, 1))
    np.testing.assert_array_equal(depth_of(near, far), depth_of(far, near))
    assert depth_of(far, near)[CENTRE] == pytest.approx(4)


def test_a_camera_that_turns_right_sees_what_is_ahead_on_its_left():
    ahead = Box((0, 1.5, 6), (0.5, 0.5, 0.5))
    columns = np.nonzero(np.isfinite(depth_of(ahead, camera=Camera((0, 1.5, 0), yaw=0.5, pitch=0, roll=0))))[1]
    assert columns.max() < 128


def test_a_camera_that_looks_up_sees_the_horizon_low():
    depth_m = depth_of(Ground(0.0, -1e4, 1e4), camera=Camera((0, 1.5, 0), yaw=0, pitch=0.2, roll=0))
    assert np.argmax(np.isfinite(depth_m[:, 128])) == pytest.approx(71.5 + FOCAL_PX * np.tan(0.2), abs=1.5)


@pytest.mark.parametrize("seed", range(4))
def test_a_shape_is_never_cut_off_by_the_window_that_it_is_looked_for_in(seed):
    rng = np.random.default_rng(seed)
    camera = Camera((0, 1.5, 0), *rng.uniform(-0.3, 0.3, 3))
    where = (rng.uniform(-3, 3), rng.uniform(0, 2), rng.uniform(1.5, 8))
    origin, directions = np.array(camera.position_m, np.float32), ray_directions(camera)
    for shape in (Box(where, (0.5, 0.7, 0.9), yaw=1.0), Ellipsoid(where, (0.5, 1, 0.7)), Pole(where, 0.3, 1.2)):
        np.testing.assert_allclose(depth_of(shape, camera=camera), shape.meet(origin, directions).depth_m, rtol=1e-4)


def test_the_sky_is_100_m_and_so_is_what_lies_beyond():
    rendered = render(scene(Ground(0.0, -1e4, 1e4)), np.random.default_rng(0))
    assert rendered.depth_m[:73].min() == rendered.depth_m.max() == FAR_M
    assert (rendered.frame.shape, rendered.frame.dtype, rendered.depth_m.dtype) == ((144, 256, 3), np.uint8, np.float32)


def test_haze_makes_the_far_pale():
    near, far = (
        render(scene(Box((0, 1.5, z_m), (50, 50, 1))), np.random.default_rng(0)).frame.mean() for z_m in (5, 60)
    )
    assert far > near + 20


@pytest.mark.parametrize("texture", TEXTURES)
def test_a_texture_repeats_after_its_tile_and_fades_to_its_mean_far_away(texture):
    tile_m = TEXTURES[texture][1]
    u_m, v_m = np.random.default_rng(0).uniform(0, tile_m, (2, 500)).astype(np.float32)
    which = np.full(500, TEXTURE_INDEX[texture], np.int32)
    near = look_up(which, u_m, v_m, np.zeros(500, np.float32))
    again = look_up(which, u_m + 2 * tile_m, v_m - tile_m, np.zeros(500, np.float32))
    assert np.median(np.abs(near - again)) < 1e-3  # an edge may fall between two texels by rounding, hence the median
    far = look_up(which, u_m, v_m, np.full(500, 100, np.float32))
    assert far[:, 0].std() <= near[:, 0].std() + 1e-6


def test_a_frame_is_the_same_in_whichever_order_frames_are_made():
    once = make_frame(7, 3)
    make_frame(7, 2)
    again = make_frame(7, 3)
    np.testing.assert_array_equal(once.frame, again.frame)
    np.testing.assert_array_equal(once.depth_m, again.depth_m)


def test_another_seed_and_another_index_are_other_scenes():
    frames = [make_frame(seed, index).depth_m for seed, index in ((1, 0), (1, 1), (2, 0))]
    assert not np.array_equal(frames[0], frames[1])
    assert not np.array_equal(frames[0], frames[2])


def test_every_fifth_frame_is_held_out():
    assert Counter(split_of(index) for index in range(100)) == {"train": 80, "val": 20}


def test_a_bare_wall_does_not_show_enough_and_a_street_does():
    wall = render(scene(Ground(0, -1e4, 1e4), Box((0, 0, 4), (100, 100, 1))), np.random.default_rng(0))
    assert wall.largest_wall_share > LARGEST_WALL_SHARE
    assert not shows_enough(wall)
    assert shows_enough(render(scene(Ground(0, -1e4, 1e4), Box((0, 0, 9), (3, 3, 1))), np.random.default_rng(0)))


def test_two_walls_of_a_room_are_not_one_bare_wall():
    corner = Camera((0, 1.5, 0), yaw=np.pi / 4, pitch=0, roll=0)
    rendered = render(scene(Box((0, 1.5, 0), (4, 5, 4), is_room=True), camera=corner), np.random.default_rng(0))
    assert rendered.largest_wall_share < LARGEST_WALL_SHARE


def test_position_alone_tells_little_of_the_depth():
    depth_m = np.stack([np.clip(make_frame(0, index).depth_m, 0, 20) for index in range(90)])
    of_mean_image_m = np.sqrt(((depth_m[:60].mean(axis=0) - depth_m[60:]) ** 2).mean())
    of_constant_m = np.sqrt(((depth_m[:60].mean() - depth_m[60:]) ** 2).mean())
    assert of_mean_image_m > 4
    assert of_mean_image_m > 0.75 * of_constant_m


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("synth") / "set"
    assert synthesise(folder, 10, seed=3) == 10
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_data_set_is_read_as_any_other(made):
    train, val = open_split(made, "train"), open_split(made, "val")
    assert (train.names, val.names) == (("0", "1", "2", "3", "5", "6", "7", "8"), ("4", "9"))
    sample = val[0]
    np.testing.assert_array_equal(sample.depth_m, make_frame(3, 4).depth_m)
    difference = sample.frame.astype(int) - make_frame(3, 4).frame
    assert np.abs(difference).mean() < 4  # what JPEG at this quality costs
    assert sample.valid.all()


def test_asked_again_it_makes_nothing_and_asked_for_more_it_adds(made):
    before = contents(made)
    assert synthesise(made, 10, seed=3) == 0
    assert contents(made) == before
    assert synthesise(made, 12, seed=3) == 2
    after = contents(made)
    assert {name: after[name] for name in before if name != "synth.json"} == {
        name: content for name, content in before.items() if name != "synth.json"
    }
    assert json.loads(after["synth.json"])["num_frames"] == 12


def test_another_seed_or_fewer_frames_in_the_same_folder_are_refused(made):
    with pytest.raises(BadInputError, match=r"holds frames of mde-synth \d+ with seed 3, .* not of .* with seed 4"):
        synthesise(made, 10, seed=4)
    with pytest.raises(BadInputError, match="frames, more than 2; choose another folder"):
        synthesise(made, 2, seed=3)


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(BadInputError, match="not empty, and not made by mde-data synth"):
        synthesise(tmp_path, 5, seed=0)
    assert contents(tmp_path) == {"thesis.txt": b"mine"}


@pytest.mark.parametrize(("num_frames", "seed"), [(0, 1), (5, -1)])
def test_no_frames_or_a_negative_seed_is_wrong_usage(tmp_path, num_frames, seed):
    with pytest.raises(UsageError, match="at least 1 frame, and a seed of 0 or more"):
        synthesise(tmp_path / "set", num_frames, seed)


def test_interrupted_it_leaves_whole_frames_and_goes_on_to_the_same_data_set(tmp_path):
    folder = tmp_path / "set"
    command = [sys.executable, "-c", "from mde_train.cli.data import main; main()", "synth", str(folder)]
    running = subprocess.Popen([*command, "--frames", "60", "--seed", "3"], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while len(list(folder.glob("rgb/*/[0-9]*.jpeg"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    running.send_signal(signal.SIGINT)
    _, told = running.communicate(timeout=60)
    assert (running.returncode, told.splitlines()[-1]) == (130, "-c: interrupted")
    assert not list(folder.rglob(".*"))
    assert 0 < synthesise(folder, 60, seed=3) < 60
    train, val = open_split(folder, "train"), open_split(folder, "val")
    assert (len(train), len(val)) == (48, 12)
    for sample in (*train[:10], *val[-2:]):
        np.testing.assert_array_equal(sample.depth_m, make_frame(3, int(sample.name)).depth_m)


def test_a_write_that_fails_is_one_line_and_leaves_nothing_half_done(tmp_path):
    resource = pytest.importorskip("resource")  # not on Windows
    folder = tmp_path / "set"
    command = [sys.executable, "-c", "from mde_train.cli.data import main; main()", "synth", str(folder)]
    ended = subprocess.run(
        [*command, "--frames", "3"],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),  # a depth map takes 147 kB
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 3
    (line,) = ended.stderr.strip().splitlines()
    assert re.fullmatch(r"-c: .*\.npy: File too large; check the file and its folder", line)
    assert set(contents(folder)) == {"synth.json"}


@pytest.mark.parametrize("kind", ["all", "streets", "rooms"])
def test_a_larger_frame_of_the_same_angle_shows_the_same_scene(kind):
    """At three times the size every third pixel's ray is nearly the small frame's."""
    small = make_frame(4, 2, kind=kind).depth_m
    large = make_frame(4, 2, Lens(432, 768, 384.0), kind).depth_m
    assert large.shape == (432, 768)
    same = np.abs(large[1::3, 1::3] - small) < 0.02 * small
    assert same.mean() > 0.97, "but for the edges, which half a ray misses"


def test_a_longer_lens_sees_less_of_the_scene_and_it_as_far():
    scene = room(np.random.default_rng(4))
    wide, tele = (
        render(
            dataclasses.replace(scene, camera=dataclasses.replace(scene.camera, lens=Lens(144, 256, focal_px))),
            np.random.default_rng(0),
        ).depth_m
        for focal_px in (128.0, 256.0)
    )
    assert np.median(np.abs(tele[1::2, 1::2] - wide[36:108, 64:192])) < 0.05


@pytest.mark.parametrize(("kind", "has_sky"), [("streets", True), ("rooms", False)])
def test_a_kind_of_scenes_is_that_kind_alone(kind, has_sky):
    frames = [make_frame(0, index, kind=kind).depth_m for index in range(6)]
    assert any((depth_m == FAR_M).any() for depth_m in frames) == has_sky


def test_a_folder_is_not_filled_with_frames_of_another_lens(tmp_path):
    synthesise(tmp_path / "s", 1, 0)
    with pytest.raises(BadInputError, match=r"not of .* 32x48 px, focal length 24 px, scenes rooms; choose another"):
        synthesise(tmp_path / "s", 2, 0, Lens(32, 48, 24.0), "rooms")


def test_a_folder_made_before_lenses_could_be_chosen_goes_on(tmp_path):
    synthesise(tmp_path / "s", 1, 0)
    marker = json.loads((tmp_path / "s" / "synth.json").read_text())
    older = {name: marker[name] for name in ("generator", "seed", "num_frames")}
    (tmp_path / "s" / "synth.json").write_text(json.dumps(older))
    assert synthesise(tmp_path / "s", 2, 0) == 1


def test_a_drive_goes_through_one_scene():
    frames = make_drive(3, 0, 4, Lens(36, 64, 32.0), "rooms")
    depths = [frame.depth_m for frame in frames]
    for before, after in itertools.pairwise(depths):
        assert 0 < np.abs(np.log(after / before)).mean() < 0.1  # 3 cm on, in a room of metres
    apart = make_drive(3, 1, 4, Lens(36, 64, 32.0), "rooms")[0].depth_m
    assert np.abs(np.log(apart / depths[0])).mean() > 0.2


def test_a_drive_is_in_one_split_and_is_the_same_however_many_are_made(tmp_path):
    for name, num_frames in (("few", 3), ("more", 15)):
        assert synthesise(tmp_path / name, num_frames, 1, Lens(36, 64, 32.0), "rooms", drive_frames=3) == num_frames
    splits = {path.stem: path.parent.name for path in (tmp_path / "more" / "rgb").rglob("*.jpeg")}
    assert {stem for stem, split in splits.items() if split == "val"} == {"12", "13", "14"}
    for path in (tmp_path / "few").rglob("*.jpeg"):
        same = tmp_path / "more" / path.relative_to(tmp_path / "few")
        assert same.read_bytes() == path.read_bytes()


def test_a_drive_that_was_interrupted_is_made_whole(tmp_path):
    synthesise(tmp_path / "s", 3, 1, Lens(36, 64, 32.0), "rooms", drive_frames=3)
    lost = tmp_path / "s" / "rgb" / "train" / "1.jpeg"
    content = lost.read_bytes()
    lost.unlink()
    assert synthesise(tmp_path / "s", 3, 1, Lens(36, 64, 32.0), "rooms", drive_frames=3) == 1
    assert lost.read_bytes() == content


def test_frames_that_are_no_whole_drives_are_wrong_usage(tmp_path):
    with pytest.raises(UsageError, match="not a whole number of drives of 3"):
        synthesise(tmp_path / "s", 4, 1, drive_frames=3)


def test_a_folder_of_drives_is_not_filled_with_stills(tmp_path):
    synthesise(tmp_path / "s", 2, 0, Lens(32, 48, 24.0), "rooms", drive_frames=2)
    with pytest.raises(BadInputError, match="drives of 2 frames"):
        synthesise(tmp_path / "s", 4, 0, Lens(32, 48, 24.0), "rooms")
