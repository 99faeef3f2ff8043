"""Point clouds: true to the geometry of rendered scenes, and of the camera that is known best."""

import dataclasses

import numpy as np
import pytest
from PIL import ExifTags, Image

from mde_runtime.cli.predict import main
from mde_runtime.contract import Intrinsics
from mde_runtime.sinks import Prediction, Writing, open_sink
from mde_train.data.synth.render import cast_rays, ray_directions
from mde_train.data.synth.scene import FAR_M, Camera, Lens, Light, Material, Scene, Thing
from mde_train.data.synth.shapes import Box, Ground

LENS = Lens(96, 160, focal_px=110.0)
CAMERA = Camera((0.4, 1.5, -0.3), yaw=0.1, pitch=-0.15, roll=0.05, lens=LENS)
PINHOLE = Intrinsics(fx_px=110.0, fy_px=110.0, cx_px=79.5, cy_px=47.5)
GREY = Material("painted", (0.4, 0.4, 0.4), (0.4, 0.4, 0.4))
DAY = Light(0.6, 0.3, (0.0, 1.0, 0.0), 0.0, 0.014, (0.7, 0.7, 0.7), (0.3, 0.5, 0.8), 0.5)
WALL_AT_M, WALL_HEIGHT_M = 9.0, 3.0
FLOAT32_M = 1e-4  # at 100 m, over a few operations


@pytest.fixture
def true_depth_m():
    """Of the ground, a wall across it, and the sky above."""
    shapes = (Ground(0.0, -200.0, 200.0), Box((0, 0, WALL_AT_M + 1), (4, WALL_HEIGHT_M, 1)))
    scene = Scene("street", CAMERA, DAY, tuple(Thing.of(shape, GREY) for shape in shapes), ())
    depth_m = cast_rays(scene, ray_directions(CAMERA)).depth_m
    assert np.isinf(depth_m).any()
    return np.minimum(depth_m, np.float32(FAR_M))


def read_ply(path):
    _, _, body = path.read_bytes().partition(b"end_header\n")
    return np.frombuffer(body, np.dtype([("xyz", "<f4", 3), ("rgb", "u1", 3)]))["xyz"].astype(np.float64)


def cloud_of(depth_m, distance, out, range_m=(0.0, FAR_M)):
    grey = np.full((*depth_m.shape, 3), 128, np.uint8)
    with open_sink("ply", out, Writing(range_m, distance)) as write:
        return read_ply(write(Prediction("a", grey, depth_m, "a", None, PINHOLE)))


def in_the_world(xyz):
    """From x right, y down, z ahead of the camera to the scene's x, y up, z."""
    return (xyz * (1, -1, 1)) @ CAMERA.rotation().astype(np.float64).T + np.array(CAMERA.position_m)


def off_the_surfaces_m(points):
    """How far world points are from the ground and from the wall's front, whichever is nearer."""
    in_wall = (np.abs(points[:, 0]) < 4 + FLOAT32_M) & (points[:, 1] < WALL_HEIGHT_M + FLOAT32_M)
    to_wall = np.where(in_wall, np.abs(points[:, 2] - WALL_AT_M), np.inf)
    return np.minimum(np.abs(points[:, 1]), to_wall)


@pytest.mark.parametrize("distance", ["z", "ray"])
def test_points_lie_on_the_rendered_surfaces(true_depth_m, tmp_path, distance):
    row, column = np.mgrid[:96, :160]
    stretch = np.sqrt(((column - 79.5) / 110) ** 2 + ((row - 47.5) / 110) ** 2 + 1)
    depth_m = true_depth_m if distance == "z" else (true_depth_m * stretch).astype(np.float32)
    far_m = FAR_M if distance == "z" else float((FAR_M * stretch).max())
    depth_m = np.where(true_depth_m < FAR_M, depth_m, np.float32(far_m))
    points = in_the_world(cloud_of(depth_m, distance, tmp_path, (0.0, far_m)))
    assert len(points) == (true_depth_m < FAR_M).sum()
    assert off_the_surfaces_m(points).max() < FLOAT32_M * 10


def test_distance_along_the_ray_taken_for_depth_bends_the_wall(true_depth_m, tmp_path):
    points = in_the_world(cloud_of(true_depth_m, "ray", tmp_path))
    assert off_the_surfaces_m(points).max() > 0.5


def test_the_sky_is_left_out(true_depth_m, tmp_path):
    assert len(cloud_of(true_depth_m, "z", tmp_path)) == (true_depth_m < FAR_M).sum() < true_depth_m.size


def test_the_far_end_is_that_of_the_cameras_metres(tmp_path):
    depth_m = np.full((96, 160), 25.0, np.float32)
    assert len(cloud_of(depth_m, "z", tmp_path, (0.0, 30.0))) == depth_m.size
    assert len(cloud_of(depth_m, "z", tmp_path, (0.0, 25.0))) == 0


@pytest.fixture
def cloud(command, tiny_bundle, tmp_path):
    """A function that gives the cloud of a picture."""

    def of(picture, *asked, bundle=tiny_bundle):
        ended = command(main, bundle, picture, "-o", tmp_path / "out", "--format", "ply", *asked)
        assert ended.exit_code == 0, ended.stderr
        return read_ply(tmp_path / "out" / f"{picture.stem}.ply")

    return of


def photo(path, frame, tags, orientation=1):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    exif.get_ifd(ExifTags.IFD.Exif).update(tags)
    Image.fromarray(frame).save(path, exif=exif)
    return path


def focal_px_of(xyz, width_px=32):
    """Of the camera that a whole cloud was made with, from its outermost columns."""
    return (width_px - 1) / np.ptp(xyz[:, 0] / xyz[:, 2])


SENSOR = {  # 20 mm before 2 px a mm: 40 px, when it had twice the columns
    ExifTags.Base.FocalLength: 20.0,
    ExifTags.Base.FocalPlaneXResolution: 40.0,
    ExifTags.Base.FocalPlaneResolutionUnit: 3,
    ExifTags.Base.ExifImageWidth: 64,
}


@pytest.mark.parametrize(
    ("tags", "focal_px"),
    [(SENSOR, 40.0), ({ExifTags.Base.FocalLengthIn35mmFilm: 43}, 43 / np.hypot(36, 24) * 40)],
)
def test_the_focal_length_is_taken_from_the_photographs_exif(cloud, tiny_frames, tmp_path, tags, focal_px):
    assert focal_px_of(cloud(photo(tmp_path / "a.png", tiny_frames[0], tags))) == pytest.approx(focal_px, rel=1e-5)


def test_a_photograph_that_was_turned_has_its_axis_in_the_middle(cloud, tiny_frames, tmp_path):
    xyz = cloud(photo(tmp_path / "a.png", np.rot90(tiny_frames[0]).copy(), SENSOR, orientation=6))
    assert (xyz[:, 0] / xyz[:, 2]).sum() == pytest.approx(0, abs=1e-3)


def test_a_flag_comes_before_exif(cloud, tiny_frames, tmp_path):
    picture = photo(tmp_path / "a.png", tiny_frames[0], SENSOR)
    assert focal_px_of(cloud(picture, "--focal-px", "25")) == pytest.approx(25, rel=1e-5)


def test_exif_comes_before_the_contracts_camera(cloud, make_bundle, tiny_contract, tiny_frames, tmp_path):
    known = dataclasses.replace(tiny_contract, intrinsics=Intrinsics(fx_px=60, fy_px=60, cx_px=15.5, cy_px=11.5))
    bundle = make_bundle("known.mde", contract=known)
    plain, tagged = (photo(tmp_path / f"{len(tags)}.png", tiny_frames[0], tags) for tags in ({}, SENSOR))
    assert focal_px_of(cloud(plain, bundle=bundle)) == pytest.approx(60, rel=1e-5)
    assert focal_px_of(cloud(tagged, bundle=bundle)) == pytest.approx(40, rel=1e-5)


def test_the_optical_axis_is_where_the_intrinsics_say(cloud, tiny_frames, save_picture, tmp_path):
    xyz = cloud(save_picture(tmp_path / "a.png", tiny_frames[0]), "--intrinsics", "40,20,0,23")
    assert (xyz[:, 0] / xyz[:, 2]).min() == pytest.approx(0, abs=1e-6)  # its column is the first
    assert (xyz[:, 1] / xyz[:, 2]).max() == pytest.approx(0, abs=1e-6)  # its row is the last
    assert np.ptp(xyz[:, 1] / xyz[:, 2]) == pytest.approx(23 / 20, rel=1e-5)


@pytest.mark.parametrize("value", ["40,40,16", "40,x,16,12", "0,40,16,12"])
def test_intrinsics_that_are_none_are_wrong_usage(command, tiny_bundle, tiny_frames, save_picture, tmp_path, value):
    picture = save_picture(tmp_path / "a.png", tiny_frames[0])
    ended = command(main, tiny_bundle, picture, "-o", tmp_path / "out", "--intrinsics", value)
    assert ended.exit_code == 2


def test_two_focal_lengths_are_wrong_usage(command, tiny_bundle, tiny_frames, save_picture, tmp_path):
    picture = save_picture(tmp_path / "a.png", tiny_frames[0])
    asked = ("--intrinsics", "40,40,16,12", "--focal-px", "40")
    ended = command(main, tiny_bundle, picture, "-o", tmp_path / "out", *asked)
    assert (ended.exit_code, "leave --focal-px out" in ended.stderr) == (2, True)
