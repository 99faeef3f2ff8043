"""A camera's gain from measured distances: found, robust, believed where held-out points agree, used everywhere."""

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mde_runtime import DepthEstimator, records
from mde_runtime.bundle import read_bundle
from mde_runtime.camera.calibration import read_calibration
from mde_runtime.camera.depth_folders import depth_pictures
from mde_runtime.camera.gain import Measured, fit_gain, robust_gain
from mde_runtime.cli.bundle import main
from mde_runtime.cli.predict import main as predict_main
from mde_runtime.contract import Intrinsics
from mde_runtime.errors import BadInputError, UsageError, VerdictError

FLOAT32 = 1e-6  # relative: a few steps of float32
PIXELS = [(3, 4), (9, 20), (13, 7), (20, 30)]  # y, x; two apart in depth are in every picture


@pytest.fixture
def chance():
    return np.random.default_rng(5)


def measured(depth_m, metres, points_per_picture=4):
    return Measured(np.asarray(depth_m), np.asarray(metres), np.arange(len(metres)) // points_per_picture)


def test_a_gain_is_found_again(chance):
    depth_m = chance.uniform(1, 10, 40)
    gain, heldout = fit_gain(measured(depth_m, 1.7 * depth_m * chance.normal(1, 0.02, 40)))
    assert gain == pytest.approx(1.7, rel=0.01)  # 0.02 / sqrt(40) is its standard error
    assert heldout.abs_log < 0.03 < 0.5 < heldout.abs_log_before
    assert heldout.rmse_m < heldout.rmse_before_m
    assert (heldout.num_points, heldout.num_pictures) == (40, 10)


@pytest.mark.parametrize("wrong", [0.1, 10.0])
def test_a_wrong_point_in_ten_moves_the_gain_by_little(chance, wrong):
    depth_m = chance.uniform(1, 10, 40)
    metres = 1.2 * depth_m * chance.normal(1, 0.02, 40)
    metres[::10] *= wrong
    gain, _ = fit_gain(measured(depth_m, metres))
    assert gain == pytest.approx(1.2, rel=0.01)


def test_depth_that_is_right_already_is_told_as_no_better_than_before(chance):
    depth_m = chance.uniform(1, 10, 40)
    with pytest.raises(VerdictError, match="no better than before"):
        fit_gain(measured(depth_m, depth_m * chance.normal(1, 0.05, 40)))


def test_a_gain_that_one_picture_alone_asks_for_is_not_believed(chance):
    depth_m = chance.uniform(1, 10, 40)
    metres = depth_m * chance.normal(1, 0.01, 40)
    metres[:4] *= 3
    with pytest.raises(VerdictError, match="no better than before"):
        fit_gain(measured(depth_m, metres))


def test_a_gain_that_helps_near_and_harms_far_by_more_is_not_believed():
    near_m, far_m = np.full(30, 1.0), np.full(10, 40.0)
    depth_m = np.concatenate([near_m, far_m])  # near is 20 % too near, far is right
    with pytest.raises(VerdictError, match="no better than before"):
        fit_gain(Measured(depth_m, np.concatenate([near_m * 1.2, far_m]), np.arange(40) % 10))


def test_seven_distances_are_too_few():
    with pytest.raises(BadInputError, match=r"too few to hold any out; measure 8"):
        fit_gain(measured(np.full(7, 2.0), np.full(7, 4.0)))


def test_the_gain_of_exact_distances_is_exact():
    assert robust_gain(np.array([1.0, 2.0, 5.0]), np.array([3.0, 6.0, 15.0])) == pytest.approx(3.0, rel=1e-12)


@pytest.fixture
def tape(tmp_path, tiny_frames, tiny_depth, save_picture):
    """A function that lays pictures and the distances of a camera that sees everything `gain` times as far."""

    def lay(gain: float = 1.5, folder: Path = tmp_path, scale: int = 3) -> Path:
        with (tmp_path / "points.csv").open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(("image", "x", "y", "metres"))
            for index, frame in enumerate(tiny_frames):
                large = frame.repeat(scale, axis=0).repeat(scale, axis=1)
                save_picture(folder / f"{index}.png", large)
                depth_m = tiny_depth(frame)
                rows.writerows((f"{index}.png", scale * x + 1, scale * y + 1, gain * depth_m[y, x]) for y, x in PIXELS)
        return tmp_path / "points.csv"

    return lay


def calibrated(command, bundle, points, out, *more):
    ended = command(main, "calibrate", bundle, "--points", points, "-o", out, *more)
    assert ended.exit_code == 0, ended.stderr
    return ended


def test_a_tape_measure_gives_the_gain_and_what_it_is_worth(command, tiny_bundle, tape, tmp_path):
    ended = calibrated(command, tiny_bundle, tape(), tmp_path / "camera.json")
    assert ended.stdout == f"{tmp_path / 'camera.json'}\n"
    assert "gain 1.5000, from 32 distances in 8 pictures" in ended.stderr
    assert "off by 40.55% before, 0.00% after" in ended.stderr
    found = read_calibration(tmp_path / "camera.json", read_bundle(tiny_bundle))
    assert found.gain == pytest.approx(1.5, rel=FLOAT32)


def test_pictures_may_lie_elsewhere(command, tiny_bundle, tape, tmp_path):
    points = tape(folder=tmp_path / "pictures")
    calibrated(command, tiny_bundle, points, tmp_path / "camera.json", "--frames", tmp_path / "pictures")


def test_no_better_than_before_is_exit_code_1_and_no_file(command, tiny_bundle, tape, tmp_path):
    ended = command(main, "calibrate", tiny_bundle, "--points", tape(gain=1.0), "-o", tmp_path / "camera.json")
    assert (ended.exit_code, "no better than before" in ended.stderr) == (1, True)
    assert not (tmp_path / "camera.json").exists()


def test_intrinsics_are_kept_and_change_nothing_in_the_gain(command, tiny_bundle, tape, tmp_path):
    points = tape()
    calibrated(command, tiny_bundle, points, tmp_path / "plain.json")
    calibrated(command, tiny_bundle, points, tmp_path / "camera.json", "--intrinsics", "30,31,15,11")
    bundle = read_bundle(tiny_bundle)
    plain, found = (read_calibration(tmp_path / name, bundle) for name in ("plain.json", "camera.json"))
    assert found == replace(plain, intrinsics=Intrinsics(fx_px=30, fy_px=31, cx_px=15, cy_px=11))


@pytest.fixture
def recorded(tiny_frames, tiny_depth, save_picture):
    """A function that records the frames as a depth camera whose metres are 0.8 of the bundle's."""

    def record(frame_files, depth_files, levels_per_metre=1000):
        for frame, frame_file, depth_file in zip(tiny_frames, frame_files, depth_files, strict=True):
            save_picture(frame_file, frame)
            depth_m = 0.8 * tiny_depth(frame)
            depth_m[:5] = 0  # where such a camera saw nothing
            depth_file.parent.mkdir(parents=True, exist_ok=True)
            if depth_file.suffix == ".npy":
                np.save(depth_file, depth_m)
            else:
                Image.fromarray((depth_m * levels_per_metre).round().astype(np.uint16)).save(depth_file)

    return record


@pytest.fixture
def gain_of(command, tiny_bundle, tmp_path):
    """A function that calibrates by a depth camera's folder and gives the gain."""

    def gain(data, *more):
        ended = command(main, "calibrate", tiny_bundle, "--data", data, *more, "-o", tmp_path / "camera.json")
        assert ended.exit_code == 0, ended.stderr
        return read_calibration(tmp_path / "camera.json", read_bundle(tiny_bundle)).gain

    return gain


@pytest.mark.parametrize(
    ("pictures", "depth"), [("rgb/val", "npy"), ("rgb/val", "png"), ("color", "png"), ("colour", "npy")]
)
def test_a_depth_camera_takes_the_place_of_the_tape(recorded, gain_of, tiny_frames, tmp_path, pictures, depth):
    below = "/".join(pictures.split("/")[1:])
    numbers = range(len(tiny_frames))
    recorded(
        [tmp_path / "data" / pictures / f"{index}.png" for index in numbers],
        [tmp_path / "data" / "depth" / below / f"{index}.{depth}" for index in numbers],
    )
    assert gain_of(tmp_path / "data") == pytest.approx(0.8, rel=1e-3)  # whole millimetres of metres


def test_a_depth_cameras_z_is_compared_along_the_rays_where_the_bundle_has_those(
    command, make_bundle, tiny_contract, tiny_frames, tiny_depth, save_picture, tmp_path
):
    along_rays = replace(tiny_contract, from_network=replace(tiny_contract.from_network, distance="ray"))
    bundle, asked = make_bundle(contract=along_rays), ("--data", tmp_path / "data", "-o", tmp_path / "camera.json")
    y, x = np.mgrid[:24, :32]
    rays = np.sqrt(1 + ((x - 15) / 16) ** 2 + ((y - 11) / 16) ** 2)  # 90 degrees across
    for index, frame in enumerate(tiny_frames):
        save_picture(tmp_path / "data" / "rgb" / f"{index}.png", frame)
        (tmp_path / "data" / "depth").mkdir(exist_ok=True)
        np.save(tmp_path / "data" / "depth" / f"{index}.npy", (0.8 * tiny_depth(frame) / rays).astype(np.float32))
    ended = command(main, "calibrate", bundle, *asked)
    assert (ended.exit_code, "pass the camera's --intrinsics" in ended.stderr) == (2, True)
    ended = command(main, "calibrate", bundle, *asked, "--intrinsics", "16,16,15,11")
    assert ended.exit_code == 0, ended.stderr
    assert read_calibration(tmp_path / "camera.json", read_bundle(bundle)).gain == pytest.approx(0.8, rel=1e-5)


def test_levels_of_depth_are_those_that_are_said(recorded, gain_of, tiny_frames, tmp_path):
    names = [f"{index}.png" for index in range(len(tiny_frames))]
    recorded([tmp_path / "color" / name for name in names], [tmp_path / "depth" / name for name in names], 2500)
    assert gain_of(tmp_path, "--depth-scale", 2500) == pytest.approx(0.8, rel=1e-3)
    assert gain_of(tmp_path) == pytest.approx(0.8 * 2.5, rel=1e-3)  # taken as millimetres


@pytest.fixture
def tum(recorded, tiny_frames, tmp_path):
    """A recording with lists: depth 10 ms after each picture, whose names do not match."""
    times_s = [1305031102.0 + index / 30 for index in range(len(tiny_frames))]
    frames = [f"rgb/{time_s:.6f}.png" for time_s in times_s]
    depths = [f"depth/{time_s + 0.01:.6f}.png" for time_s in times_s]
    recorded([tmp_path / name for name in frames], [tmp_path / name for name in depths], 5000)
    for listing, names, later_s in (("rgb.txt", frames, 0), ("depth.txt", depths, 0.01)):
        lines = [f"{time_s + later_s:.6f} {name}" for time_s, name in zip(times_s, names, strict=True)]
        (tmp_path / listing).write_text("\n".join(["# timestamp filename", *lines, ""]))
    return tmp_path


def test_lists_pair_pictures_with_the_depth_nearest_in_time_of_5000_levels_per_metre(tum, gain_of):
    assert gain_of(tum) == pytest.approx(0.8, rel=1e-3)


def test_a_picture_without_depth_near_in_time_is_left_out(tum, tiny_frames):
    (tum / "depth.txt").write_text("\n".join((tum / "depth.txt").read_text().splitlines()[:-2]))  # 33 ms between frames
    assert len(depth_pictures(tum)) == len(tiny_frames) - 2


@pytest.mark.parametrize(
    ("listing", "text", "complaint"),
    [
        ("depth.txt", "99 depth/a.png", "no picture of rgb.txt has depth in depth.txt within 20 ms; record both"),
        ("depth.txt", "1 ../../secret.png", "depth.txt, line 1: '../../secret.png' is not a path inside"),
        ("rgb.txt", "# a comment\nnan rgb/a.png", "rgb.txt, line 2: 'nan' is not a finite number"),
        ("rgb.txt", "1305031102.1", "rgb.txt, line 1: '' is not a file name"),
        ("rgb.txt", "# a comment", "rgb.txt: lists no frames"),
    ],
)
def test_a_list_that_is_wrong_is_named(tum, listing, text, complaint):
    (tum / listing).write_text(text)
    with pytest.raises(BadInputError, match=re.escape(complaint)):
        depth_pictures(tum)


@pytest.mark.parametrize(
    ("folders", "complaint"),
    [
        (("rgb",), "not a depth camera's folder; give pictures in one of rgb/ and color/ with depth/ beside it"),
        (("depth",), "not a depth camera's folder"),
        (("rgb", "color", "depth"), "both rgb/ and color/; give pictures in one"),
        (("rgb", "depth"), "no pictures; record them there"),
    ],
)
def test_a_folder_of_no_known_form_is_refused_with_the_forms(tmp_path, folders, complaint):
    for name in folders:
        (tmp_path / name).mkdir()
    with pytest.raises(BadInputError, match=complaint):
        depth_pictures(tmp_path)


@pytest.mark.parametrize("scale", ["0", "-5", "nan", "1e9"])
def test_a_scale_that_no_depth_has_is_wrong_usage(command, tiny_bundle, scale):
    assert command(main, "calibrate", tiny_bundle, "--data", "d", "--depth-scale", scale).exit_code == 2


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        ((), "measured distances come from one place"),
        (("--data", "d", "--frames", "f"), "leave --frames out"),
        (("--points", "p", "--depth-scale", "5000"), "--depth-scale is for --data DIR"),
    ],
)
def test_distances_come_from_one_place(command, tiny_bundle, asked, complaint):
    ended = command(main, "calibrate", tiny_bundle, *asked)
    assert (ended.exit_code, complaint in ended.stderr) == (2, True)


def test_depth_at_an_end_of_the_range_measures_nothing(command, tiny_bundle, tape, tmp_path, save_picture):
    points = tape()
    save_picture(tmp_path / "white.png", np.full((24, 32, 3), 255, np.uint8))  # 20 m, which may be any distance beyond
    points.write_text(points.read_text() + "white.png,5,5,500\n" * 5)
    assert "from 32 distances" in calibrated(command, tiny_bundle, points, tmp_path / "camera.json").stderr


def test_a_distance_of_nothing_is_refused(command, tiny_bundle, tape, tmp_path):
    points = tape()
    points.write_text(points.read_text() + "0.png,5,5,0\n")
    ended = command(main, "calibrate", tiny_bundle, "--points", points, "-o", tmp_path / "camera.json")
    assert (ended.exit_code, "0 m or less" in ended.stderr) == (3, True)


@pytest.fixture
def camera(command, tiny_bundle, tape, tmp_path):
    calibrated(command, tiny_bundle, tape(), tmp_path / "camera.json", "--intrinsics", "30,30,15.5,11.5")
    return tmp_path / "camera.json"


def test_everything_that_gives_depth_gives_the_cameras_metres(tiny_bundle, camera, tiny_frames, tiny_depth):
    expected_m = 1.5 * tiny_depth(tiny_frames)
    with DepthEstimator.open(tiny_bundle, calibration=camera) as estimate:
        out = np.empty(expected_m.shape[1:], np.float32)
        estimate(tiny_frames[0], out=out)
        given = {
            "call": [estimate(frame) for frame in tiny_frames],
            "detail": [estimate.detail(frame).depth_m for frame in tiny_frames],
            "batch": estimate.batch(tiny_frames),
            "stream": list(estimate.stream(tiny_frames)),
            "picture": [estimate.picture(frame) for frame in tiny_frames],
        }
    np.testing.assert_allclose(out, expected_m[0], rtol=10 * FLOAT32)
    for name, depth_m in given.items():
        np.testing.assert_allclose(depth_m, expected_m, rtol=10 * FLOAT32, err_msg=name)


def test_the_range_is_that_of_the_cameras_metres(tiny_bundle, camera, tiny_frames):
    with DepthEstimator.open(tiny_bundle, calibration=camera) as estimate:
        assert estimate.range_m == pytest.approx((0, 30), rel=FLOAT32)
        white = estimate(np.full_like(tiny_frames[0], 255))
        assert not (white < estimate.range_m[1]).any()  # the far end, to the last bit
    with DepthEstimator.open(tiny_bundle) as estimate:
        assert estimate.range_m == (0.0, 20.0)


def test_no_depth_stays_no_depth(tiny_bundle, camera, tiny_frames):
    with DepthEstimator.open(tiny_bundle, calibration=camera) as estimate:
        assert not estimate(np.zeros_like(tiny_frames[0])).any()


def test_the_calibration_of_another_bundle_is_refused(make_bundle, tiny_graph, camera, tiny_depth, tiny_frames):
    other = make_bundle("other.mde", {"fp32": tiny_graph()}, tiny_depth(tiny_frames))
    with pytest.raises(BadInputError, match="calibrates another bundle"):
        DepthEstimator.open(other, calibration=camera)


def test_the_calibration_goes_along_when_its_bundle_is_copied(tiny_bundle, camera, tmp_path):
    copy = tmp_path / "elsewhere.mde"
    copy.write_bytes(tiny_bundle.read_bytes())
    with DepthEstimator.open(copy, calibration=camera) as estimate:
        assert estimate.calibration.gain == pytest.approx(1.5, rel=FLOAT32)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"height_px": 48}, "is for frames of 48x32 px"),
        ({"gain": 0.0}, "is not greater than 0"),
        ({"gain": -1.5}, "is not greater than 0"),
        ({"gain": 1e12}, "gives depth beyond"),
        ({"version": 2}, "update mde-toolchain"),
        ({"shift": 1.0}, "unknown key 'shift'"),
    ],
)
def test_a_calibration_that_is_none_is_refused(tiny_bundle, camera, change, complaint):
    camera.write_text(json.dumps({**json.loads(camera.read_text()), **change}))
    with pytest.raises(BadInputError, match=complaint):
        DepthEstimator.open(tiny_bundle, calibration=camera)


def test_a_missing_calibration_is_named(command, tiny_bundle, save_picture, tiny_frames, tmp_path):
    picture = save_picture(tmp_path / "a.png", tiny_frames[0])
    ended = command(predict_main, tiny_bundle, picture, "-o", tmp_path / "out", "--calibration", tmp_path / "no.json")
    assert (ended.exit_code, "no.json: cannot be read" in ended.stderr) == (3, True)


def test_a_prediction_is_in_the_cameras_metres(
    command, tiny_bundle, camera, save_picture, tiny_frames, tiny_depth, tmp_path
):
    picture = save_picture(tmp_path / "a.png", tiny_frames[0])
    ended = command(predict_main, tiny_bundle, picture, "-o", tmp_path / "out", "--calibration", camera)
    assert ended.exit_code == 0, ended.stderr
    np.testing.assert_allclose(np.load(tmp_path / "out" / "a.npy"), 1.5 * tiny_depth(tiny_frames[0]), rtol=10 * FLOAT32)


def test_accuracy_is_judged_in_the_cameras_metres(command, tiny_bundle, tiny_frames, save_picture, camera, tmp_path):
    from mde_bench.cli import main as bench

    for index, frame in enumerate(tiny_frames):
        save_picture(tmp_path / "data" / "rgb" / "val" / f"{index}.png", frame)
        (tmp_path / "data" / "depth" / "val").mkdir(parents=True, exist_ok=True)
        truth_m = 1.5 * frame.astype(np.float32).mean(axis=-1) * (20 / 255)
        np.save(tmp_path / "data" / "depth" / "val" / f"{index}.npy", truth_m.astype(np.float32))
    asked = ("accuracy", tiny_bundle, "--data", tmp_path / "data", "--protocol", "plain", "--json", tmp_path / "a.json")
    assert command(bench, *asked).exit_code == 0
    before = json.loads((tmp_path / "a.json").read_text())["figures"]["values"]["rmse_m"]
    ended = command(bench, *asked, "--calibration", camera)
    assert ended.exit_code == 0, ended.stderr
    after = json.loads((tmp_path / "a.json").read_text())["figures"]["values"]["rmse_m"]
    assert after < 1e-4 < 1 < before
    assert "depth x 1.5" in ended.stderr


@pytest.fixture
def canonical_bundle(make_bundle, tiny_contract):
    """A bundle whose depth is metric for a focal length of 40 px."""
    from_network = replace(tiny_contract.from_network, canonical_focal_px=40.0)
    return make_bundle("canonical.mde", contract=replace(tiny_contract, from_network=from_network))


def test_depth_that_is_metric_for_one_focal_length_is_scaled_to_the_cameras(canonical_bundle, tiny_frames, tiny_depth):
    with DepthEstimator.open(canonical_bundle, focal_px=60.0) as estimate:
        np.testing.assert_allclose(estimate(tiny_frames[0]), 1.5 * tiny_depth(tiny_frames[0]), rtol=10 * FLOAT32)
        assert estimate.range_m == pytest.approx((0, 30))


def test_without_the_cameras_focal_length_such_depth_is_refused(
    command, canonical_bundle, save_picture, tiny_frames, tmp_path
):
    with pytest.raises(UsageError, match=r"metric for a focal length of 40 px; pass your camera's"):
        DepthEstimator.open(canonical_bundle)
    picture = save_picture(tmp_path / "a.png", tiny_frames[0])
    ended = command(predict_main, canonical_bundle, picture, "-o", tmp_path / "out")
    assert (ended.exit_code, "--focal-px" in ended.stderr) == (2, True)


@pytest.mark.parametrize("asked", [("--focal-px", "60"), ("--intrinsics", "60,60,15.5,11.5")])
def test_the_focal_length_is_taken_from_a_flag(
    command, canonical_bundle, save_picture, tiny_frames, tiny_depth, tmp_path, asked
):
    picture = save_picture(tmp_path / "a.png", tiny_frames[0])
    ended = command(predict_main, canonical_bundle, picture, "-o", tmp_path / "out", *asked)
    assert ended.exit_code == 0, ended.stderr
    np.testing.assert_allclose(np.load(tmp_path / "out" / "a.npy"), 1.5 * tiny_depth(tiny_frames[0]), rtol=10 * FLOAT32)


def test_a_calibration_holds_the_focal_length(command, canonical_bundle, tape, tiny_frames, tiny_depth, tmp_path):
    calibrated(command, canonical_bundle, tape(gain=0.7), tmp_path / "camera.json")
    with DepthEstimator.open(canonical_bundle, calibration=tmp_path / "camera.json") as estimate:
        np.testing.assert_allclose(estimate(tiny_frames[0]), 0.7 * tiny_depth(tiny_frames[0]), rtol=10 * FLOAT32)


def test_records_say_the_same_after_a_round_trip(tiny_bundle, camera):
    found = read_calibration(camera, read_bundle(tiny_bundle))
    assert records.dumps(found) == camera.read_text()
