import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from mde_bench import cli
from mde_bench.accuracy.extremes import extremes
from mde_bench.accuracy.seed_variants import BesideSeed
from mde_bench.report.extremes import LINE_PX
from mde_runtime.metrics import ssim
from mde_runtime.protocols.seed import network_size_truth


def bench(*arguments):
    return CliRunner().invoke(cli.main, [str(argument) for argument in arguments])


def beside(*pairs, is_clipped=True):
    accumulator = BesideSeed(is_clipped=is_clipped)
    for depth_m, truth_m in pairs:
        accumulator.add(depth_m, truth_m)
    return accumulator.values()


def plane(metres):
    return np.full((24, 32), metres, np.float32)


def test_pooled_rmse_weighs_every_pixel_alike():
    assert beside((plane(1), plane(4)), (plane(5), plane(9)))["rmse_pooled_m"] == pytest.approx(np.sqrt((9 + 16) / 2))


def test_pixels_at_the_far_end_are_left_out_below_it():
    values = beside((plane(1), plane(4)), (plane(5), plane(100)))
    assert values["rmse_below_far_m"] == pytest.approx(3)
    assert values["rmse_pooled_m"] == pytest.approx(np.sqrt((9 + 15**2) / 2))


def test_without_a_pixel_below_far_its_figure_is_left_out():
    assert "rmse_below_far_m" not in beside((plane(5), plane(100)))


def test_raw_depth_is_not_clipped():
    assert beside((plane(25), plane(15)))["rmse_pooled_m"] == pytest.approx(5)
    assert beside((plane(25), plane(15)), is_clipped=False)["rmse_pooled_m"] == pytest.approx(10)


def test_ssim_in_float32_is_that_of_float64_but_for_rounding():
    chance = np.random.default_rng(2)
    depth, truth = (chance.uniform(0, 19, (224, 224)).astype(np.float32) for _ in range(2))
    exact = ssim(depth, network_size_truth(truth), 1.0)
    assert beside((depth, truth))["ssim_float32"] == pytest.approx(exact, abs=1e-4)  # float32 sums of textured maps


def test_a_bundle_is_judged_under_the_named_protocol(tiny_bundle, tiny_data, tmp_path):
    result = bench("accuracy", tiny_bundle, "--data", tiny_data, "--json", tmp_path / "accuracy.json")
    assert result.exit_code == 0, result.output
    judged = json.loads((tmp_path / "accuracy.json").read_text())
    assert judged["figures"]["protocol"] == "seed"
    assert judged["num_frames"] == 8
    # the truth is the colours' depth plus 0.3 to 1.0 m, of which JPEG and the clip at 20 m change a centimetre or so
    assert judged["figures"]["values"]["rmse_m"] == pytest.approx(0.69, abs=0.03)
    assert judged["beside"]["rmse_pooled_m"] == pytest.approx(judged["figures"]["values"]["rmse_m"])  # one batch
    assert "protocol seed" in result.stderr
    assert "rmse_m" in result.stdout


def test_a_bundle_cannot_be_judged_raw(tiny_bundle, tiny_data):
    result = bench("accuracy", tiny_bundle, "--data", tiny_data, "--protocol", "seed-raw")
    assert result.exit_code == 2
    assert "use seed" in result.stderr


@pytest.mark.parametrize("option", [("--backend", "onnxruntime-cpu"), ("--precision", "fp16")])
def test_a_checkpoint_has_no_backend_or_precision_to_choose(tiny_checkpoint, tiny_data, option):
    result = bench("accuracy", tiny_checkpoint, "--data", tiny_data, *option)
    assert result.exit_code == 2
    assert "leave --backend and --precision out" in result.stderr


def test_a_checkpoint_is_judged_clipped_and_raw(tiny_checkpoint, tiny_data):
    values = {}
    for protocol in ("seed", "seed-raw"):
        result = bench("accuracy", tiny_checkpoint, "--data", tiny_data, "--protocol", protocol)
        assert result.exit_code == 0, result.output
        values[protocol] = dict(line.split() for line in result.stdout.splitlines())
    assert float(values["seed"]["rmse_m"]) > 0
    assert set(values["seed"]) == {"rmse_m", "ssim", "ssim_float32", "rmse_pooled_m", "rmse_below_far_m", "flicker_m"}
    assert values["seed"] != values["seed-raw"]  # some of the depth is beyond 20 m: only one of them sees it


def test_a_file_that_is_no_model_is_refused(tiny_data, tmp_path):
    pytest.importorskip("torch", reason="it reads checkpoints")
    (tmp_path / "model.ckpt").write_bytes(b"no checkpoint")
    assert bench("accuracy", tmp_path / "model.ckpt", "--data", tiny_data).exit_code == 3


def test_the_extreme_frames_are_shown_best_first(tiny_bundle, tiny_data, tmp_path):
    result = bench("accuracy", tiny_bundle, "--data", tiny_data, "--picture", tmp_path / "extremes.png")
    assert result.exit_code == 0, result.output
    best = np.asarray(Image.open(tiny_data / "rgb" / "val" / "0.jpeg"))  # its truth is the least off
    height_px, width_px, _ = best.shape
    shown = np.asarray(Image.open(tmp_path / "extremes.png"))
    assert shown.shape[0] > 6 * height_px  # two of each
    assert shown.shape[1] == 4 * width_px
    top = 2 * LINE_PX  # below the headings and its title
    assert np.array_equal(shown[top : top + height_px, :width_px], best)


def test_extremes_are_the_least_the_middle_and_the_largest_error():
    assert extremes([5.0, 1.0, np.nan, 9.0, 3.0, 4.0, 2.0, 8.0]) == {
        1: "best", 6: "best", 4: "median", 5: "median", 7: "worst", 3: "worst"
    }  # fmt: skip


def test_of_few_frames_each_is_shown_once():
    assert extremes([2.0, 1.0]) == {1: "best", 0: "best"}


def test_a_picture_of_no_known_format_is_refused_before_judging(tiny_bundle, tiny_data, tmp_path):
    result = bench("accuracy", tiny_bundle, "--data", tiny_data, "--picture", tmp_path / "extremes.gif")
    assert result.exit_code == 2
    assert "give one of these endings" in result.stderr
    assert "judging" not in result.stderr


def depth_in_files(tiny_data, folder, off_m=0.0):
    """What an engine gave for every frame of val: the truth, off by so many metres."""
    folder.mkdir()
    for path in (tiny_data / "depth" / "val").iterdir():
        np.save(folder / path.name, np.load(path) + np.float32(off_m))
    return folder


def test_depth_from_anywhere_is_judged_against_the_truth_of_every_frame(tiny_data, tmp_path):
    depth = depth_in_files(tiny_data, tmp_path / "depth", off_m=0.25)
    result = bench(
        "accuracy", "--depth", depth, "--data", tiny_data, "--protocol", "kitti", "--json", tmp_path / "a.json"
    )
    assert result.exit_code == 0, result.output
    judged = json.loads((tmp_path / "a.json").read_text())
    assert (judged["model"], judged["executor"], judged["num_frames"]) == ("depth", "depth from files", 8)
    assert judged["figures"]["values"]["rmse_m"] == pytest.approx(0.25, abs=1e-4)  # float32 sums


def test_a_frame_without_depth_is_named(tiny_data, tmp_path):
    depth = depth_in_files(tiny_data, tmp_path / "depth")
    (depth / "5.npy").unlink()
    result = bench("accuracy", "--depth", depth, "--data", tiny_data)
    assert result.exit_code == 3
    assert "no depth for the frame 5" in result.stderr


@pytest.mark.parametrize("both", [True, False])
def test_one_thing_is_judged_at_a_time(tiny_bundle, tiny_data, tmp_path, both):
    depth = depth_in_files(tiny_data, tmp_path / "depth")
    result = bench("accuracy", *([tiny_bundle, "--depth", depth] if both else []), "--data", tiny_data)
    assert result.exit_code == 2
    assert "pass either MODEL or --depth DIR" in result.stderr
