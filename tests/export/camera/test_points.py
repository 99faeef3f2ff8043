"""Scale and shift from measured distances: found, robust, and believed only where points held out agree."""

import csv

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from mde_export.camera.fit import Measured, fit
from mde_export.cli import main
from mde_runtime import records
from mde_runtime.backends import open_session
from mde_runtime.bundle import read_bundle
from mde_runtime.errors import BadInputError, VerdictError
from mde_runtime.picture_placement import frame_of


def seen(quantity, metres, points_per_picture: int = 5) -> Measured:
    return Measured(np.asarray(quantity), np.asarray(metres), np.arange(len(metres)) // points_per_picture)


@pytest.fixture
def relative(contract):
    return contract(kind="relative_inverse_depth", near_m=0.5).from_network


def test_scale_and_shift_of_disparity_are_found_again(relative, noise):
    quantity = noise.uniform(0, 10, 40)
    found = fit(seen(quantity, 1 / (0.08 * quantity + 0.06)), relative)
    assert (found.scale, found.shift) == pytest.approx((0.08, 0.06), rel=1e-3)
    assert found.rmse_m < 0.01 < found.rmse_before_m


def test_scale_and_shift_of_log_depth_are_found_again_over_a_wide_range(contract, noise):
    wide = contract(kind="log_depth", near_m=0.02, far_m=150.0).from_network
    quantity = noise.uniform(-4, 4, 40)
    metres = np.exp(0.8 * quantity + 0.9) * noise.normal(1, 0.01, 40)
    metres[::10] *= 3
    found = fit(seen(quantity, metres), wide)
    assert (found.scale, found.shift) == pytest.approx((0.8, 0.9), rel=0.05)


def test_a_wrong_point_in_ten_moves_the_fit_by_little(relative, noise):
    quantity = noise.uniform(0, 10, 40)
    metres = 1 / (0.08 * quantity + 0.06)
    metres[::10] *= 3
    found = fit(seen(quantity, metres), relative)
    assert (found.scale, found.shift) == pytest.approx((0.08, 0.06), rel=0.05)


def test_a_scale_alone_is_taken_where_a_shift_does_not_help(contract, noise):
    quantity = noise.uniform(1, 10, 12)
    found = fit(seen(quantity, 1.5 * quantity + noise.normal(0, 0.05, 12)), contract().from_network)
    assert found.shift == 0.0
    assert found.scale == pytest.approx(1.5, rel=0.02)


def test_a_fit_that_does_not_help_on_points_held_out_is_refused(contract, noise):
    quantity = noise.uniform(1, 19, 16)
    with pytest.raises(VerdictError, match="do not help on held-out ones"):
        fit(seen(quantity, quantity + noise.permuted(np.tile([-0.2, 0.2], 8))), contract().from_network)


def test_seven_points_are_too_few(contract):
    with pytest.raises(BadInputError, match="too few"):
        fit(seen(np.ones(7), np.ones(7)), contract().from_network)


@pytest.fixture
def camera(make_checkpoint, tmp_path):
    """A bundle, and a CSV of distances from a camera that sees everything 1.5 times as far, in larger pictures."""
    bundle_path = make_checkpoint(tmp_path / "tiny.ckpt").with_suffix(".mde")
    result = CliRunner().invoke(main, [str(bundle_path.with_suffix(".ckpt")), "--engine", "none"])
    assert result.exit_code == 0, result.stderr
    bundle = read_bundle(bundle_path)
    session = open_session("onnxruntime-cpu", bundle.graph("fp32"))
    with (tmp_path / "points.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("image", "x", "y", "metres"))
        for index, frame in enumerate(bundle.golden().frames):
            picture = frame.repeat(3, axis=0).repeat(3, axis=1)
            Image.fromarray(picture).save(tmp_path / f"{index}.png")
            depth_m = session.run({"frame": frame_of(picture, bundle.contract)[None]})["depth_m"][0]
            rows.writerows((f"{index}.png", 3 * x + 1, 3 * y + 1, 1.5 * depth_m[y, x]) for x, y in [(4, 3), (15, 9)])
    return bundle_path, tmp_path / "points.csv"


def test_a_bundle_is_fitted_to_a_camera_and_certified_anew(camera, tmp_path):
    bundle, points = camera
    out = tmp_path / "mine.mde"
    result = CliRunner().invoke(main, [str(bundle), "--measured", str(points), "-o", str(out)])
    assert result.exit_code == 0, result.stderr
    assert "scale 1.5" in result.stdout
    fitted = read_bundle(out)
    assert fitted.contract.from_network.scale == pytest.approx(1.5, rel=1e-3)
    assert fitted.certificate("fp32").frames_source == "bundle's golden frames"


def test_a_line_that_is_no_measurement_is_named(camera):
    bundle, points = camera
    points.write_text(points.read_text() + "0.png,3,three,2\n")
    result = CliRunner().invoke(main, [str(bundle), "--measured", str(points), "-o", "mine.mde"])
    assert result.exit_code == 3
    assert "points.csv, line 18: could not convert string to float: 'three'" in result.stderr


def test_a_point_outside_its_picture_is_refused(camera):
    bundle, points = camera
    points.write_text(points.read_text() + "0.png,60,3,2\n")
    result = CliRunner().invoke(main, [str(bundle), "--measured", str(points), "-o", "mine.mde"])
    assert result.exit_code == 3
    assert "outside its 60x36 px" in result.stderr


@pytest.mark.parametrize("line", ["nan,3,2", "3,inf,2", "3,3,nan"])
def test_a_number_that_is_not_finite_is_named(line, camera):
    bundle, points = camera
    points.write_text(points.read_text() + f"0.png,{line}\n")
    result = CliRunner().invoke(main, [str(bundle), "--measured", str(points), "-o", "mine.mde"])
    assert result.exit_code == 3
    assert "points.csv, line 18" in result.stderr
    assert "not all finite" in result.stderr


def test_a_header_alone_is_refused(camera):
    bundle, points = camera
    points.write_text("image,x,y,metres\n")
    result = CliRunner().invoke(main, [str(bundle), "--measured", str(points), "-o", "mine.mde"])
    assert result.exit_code == 3
    assert "points.csv: holds no measured point" in result.stderr


def test_a_file_of_points_that_is_not_there_is_named(camera, tmp_path):
    bundle, _ = camera
    result = CliRunner().invoke(main, [str(bundle), "--measured", str(tmp_path / "none.csv"), "-o", "mine.mde"])
    assert result.exit_code == 3
    assert "none.csv: cannot be read (No such file" in result.stderr


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_a_file_of_points_in_another_encoding_is_refused_in_one_line(encoding, camera):
    bundle, points = camera
    points.write_text(points.read_text() + "größe.png,3,3,2\n", encoding)
    result = CliRunner().invoke(main, [str(bundle), "--measured", str(points), "-o", "mine.mde"])
    assert result.exit_code == 3
    assert "points.csv: not a CSV in UTF-8" in result.stderr


def test_a_field_that_no_csv_has_is_refused_in_one_line(camera):
    bundle, points = camera
    points.write_text(points.read_text() + "x" * 200_000 + ",3,3,2\n")
    result = CliRunner().invoke(main, [str(bundle), "--measured", str(points), "-o", "mine.mde"])
    assert result.exit_code == 3
    assert "points.csv: not a CSV in UTF-8 (field larger than field limit" in result.stderr


def test_points_as_excel_saves_them_are_read(camera, tmp_path):
    bundle, points = camera
    points.write_text(points.read_text(), "utf-8-sig")
    result = CliRunner().invoke(main, [str(bundle), "--measured", str(points), "-o", str(tmp_path / "mine.mde")])
    assert result.exit_code == 0, result.stderr
    assert "scale 1.5" in result.stdout


@pytest.fixture
def cropped(contract, tmp_path):
    """Export a network of brightness that sees columns 14 to 25 of 40, fitted to points in these columns.

    Of a 12x40 picture the contract's 12x20 frame shows columns 10 to 29, and of that the network sees the middle 12x12.
    Where it sees, everything is 1.5 times as far; elsewhere all is 5 m.
    """
    graph = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 17]>
        net (float[1,3,12,12] image) => (float[1,1,12,12] depth) <float gain = {10}> {
            grey = ReduceMean <axes = [1]> (image)
            depth = Mul (grey, gain)
        }""")
    onnx.save(graph, tmp_path / "crop.onnx")
    expected = contract(resize="crop", height_px=12, width_px=12, covers=(0, 0, 12, 12))
    (tmp_path / "crop.json").write_text(records.dumps(expected))
    (tmp_path / "pictures").mkdir()
    levels = range(60, 252, 3)
    for level in levels:
        picture = Image.new("RGB", (40, 12), (level, level, level))
        picture.paste((255, 255, 255), (0, 0, 40, 2))  # two bright rows, since depth has to vary
        picture.save(tmp_path / "pictures" / f"{level}.png")

    def export(*columns: int) -> Result:
        with (tmp_path / "points.csv").open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(("image", "x", "y", "metres"))
            for level in levels:
                far_m = 1.5 * 10 * level / 255
                rows.writerows((f"pictures/{level}.png", x, 6, far_m if 14 <= x < 26 else 5) for x in columns)
        command = ["crop.onnx", "--contract", "crop.json", "--frames", "pictures", "--measured", "points.csv"]
        return CliRunner().invoke(main, [part if part[0] == "-" else str(tmp_path / part) for part in command])

    return export


def test_points_that_the_network_does_not_see_are_left_out_and_counted(cropped):
    result = cropped(9, 10, 13, 14, 25, 26, 30)
    assert result.exit_code == 0, result.stderr
    assert "scale 1.5, shift 0:" in result.stdout
    assert "(128 distances; 320 more left out, where the network does not see)" in result.stdout


def test_points_of_which_the_network_sees_none_are_refused(cropped):
    result = cropped(9, 13)
    assert result.exit_code == 3
    assert "0 measured distances inside the network's view (128 more are outside) are too few" in result.stderr
