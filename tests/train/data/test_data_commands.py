import json
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from mde_runtime.errors import BadInputError
from mde_runtime.protocols import open_protocol
from mde_runtime.resampling import resize_maps
from mde_train.cli.data import main
from mde_train.data import load_arrays, open_split

from .conftest import HEIGHT_PX, WIDTH_PX, write_pair


def run(*arguments: object):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_check_says_what_the_data_set_holds(unreal):
    root = unreal()
    write_pair(root, "train", "1", np.full((HEIGHT_PX, WIDTH_PX), 0.6, np.float32))
    result = run("check", root)
    assert result.exit_code == 0
    assert "train: 2 frames (2 of 12x16 px)" in result.stdout
    assert "skipped: frame 1, its largest depth is 0.60 m: not a depth map" in result.stdout
    assert "val: 2 frames (2 of 12x16 px)" in result.stdout


def test_check_names_a_command_that_trains_on_the_data(unreal):
    root = unreal()
    assert run("check", root).stderr.endswith(f"mde-train --recipe fast --data {root} --out runs/{root.name}\n")
    path = root / "depth" / "train" / "1.npy"
    depth_m = np.load(path)
    depth_m[0, 0] = 0  # not measured
    np.save(path, depth_m)
    said = run("check", root).stderr
    assert "plain leaves them out" in said
    assert " --set protocol=plain --set model_options.far_m=" in said


def test_check_as_json_gives_figures(unreal):
    root = unreal()
    report = json.loads(run("check", root, "--json").stdout)
    train, val = report["splits"]
    depths_m = np.stack([sample.depth_m for sample in open_split(root, "train")])
    assert (train["split"], train["num_frames"], train["sizes_px"]) == ("train", 3, {"12x16": 3})
    assert train["depth_mean_m"] == pytest.approx(depths_m.mean(), rel=1e-6)
    assert train["depth_max_m"] == pytest.approx(depths_m.max())
    assert train["histogram"]["20-50 m"] == pytest.approx((depths_m >= 20).mean())
    assert sum(train["histogram"].values()) == pytest.approx(1)
    assert val["sha256"] == open_split(root, "val").sha256


def test_check_finds_a_training_frame_that_val_shows_again(unreal):
    root = unreal()
    assert json.loads(run("check", root, "--json").stdout)["num_near_duplicates"] == 0
    (root / "rgb" / "val" / "4.jpeg").write_bytes((root / "rgb" / "train" / "1.jpeg").read_bytes())
    report = json.loads(run("check", root, "--json").stdout)
    assert report["num_near_duplicates"] == 1
    assert report["nearest"][0] == {"name": "4", "train_name": "1", "difference": 0.0}
    assert "1 near-duplicates across the splits" in run("check", root).stdout


def test_split_holds_out_stretches_and_says_which(unreal):
    root = unreal(num_train=20, num_val=0)
    result = run("split", root, "--val", "0.2", "--blocks", "2", "--gap", "1")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == ["val: 4 to 5", "val: 14 to 15", "train: 12 frames", "val: 4 frames"]


def test_check_refuses_a_division_that_runs_backwards(unreal):
    root = unreal(num_train=6, num_val=0)
    (root / "split.json").write_text(json.dumps({"val": [{"first": "4", "last": "2"}], "gap_frames": 0}))
    result = run("check", root)
    assert (result.exit_code, "split.json: no frames 4 to 2 here" in result.stderr) == (3, True)


def test_check_names_every_damaged_file_and_exits_3(unreal):
    root = unreal(num_train=4)
    (root / "rgb" / "train" / "1.jpeg").write_bytes(b"\xff\xd8 cut")
    (root / "depth" / "train" / "2.npy").write_bytes(b"no array")
    np.save(root / "depth" / "val" / "4.npy", np.full((HEIGHT_PX, WIDTH_PX), np.nan, np.float32))
    result = run("check", root)
    assert result.exit_code == 3
    assert "1.jpeg: not a readable picture" in result.stdout
    assert "2.npy: not a readable .npy file" in result.stdout
    assert "4.npy: 192 values are NaN or Inf" in result.stdout
    assert "train: 2 frames" in result.stdout, "the others are counted"
    assert "3 damaged frames" in result.stderr
    report = json.loads(run("check", root, "--json").stdout)
    assert [len(split["damaged"]) for split in report["splits"]] == [2, 1]


def test_training_on_a_damaged_file_is_refused_by_its_name(unreal):
    root = unreal()
    (root / "depth" / "train" / "2.npy").write_bytes(b"no array")
    with pytest.raises(BadInputError, match=r"2\.npy: not a readable \.npy file"):
        load_arrays(open_split(root, "train"))


def test_a_split_of_which_nothing_can_be_read_is_reported(unreal):
    root = unreal()
    for file in (root / "rgb" / "train").iterdir():
        file.write_bytes(b"no picture")
    result = run("check", root)
    assert (result.exit_code, "train: 0 frames" in result.stdout) == (3, True)


@pytest.mark.parametrize("command", ["check", "stats"])
def test_a_missing_data_set_exits_3_and_says_how_to_make_one(tmp_path, command):
    result = run(command, tmp_path / "nowhere")
    assert result.exit_code == 3
    assert "no such folder; make a data set there with mde-data synth" in result.stderr


def test_stats_scores_the_mean_and_the_mean_image_of_the_training_frames_on_val(unreal):
    root = unreal()
    figures = json.loads(run("stats", root, "--json", "--constant", "20").stdout)
    seen_m = [
        resize_maps(np.clip(sample.depth_m, 0, 20), 224, 224, antialias=True) for sample in open_split(root, "train")
    ]
    mean_m = np.mean(seen_m, axis=0, dtype=np.float64)
    judge = open_protocol("seed")
    for sample in open_split(root, "val"):
        judge.add(mean_m, sample.depth_m)
    rows = {row["guess"]: row for row in figures["baselines"]}
    assert figures["mean_depth_m"] == pytest.approx(mean_m.mean(), rel=1e-6)
    assert rows["mean image"]["rmse_m"] == pytest.approx(judge.result().values["rmse_m"])
    assert rows["mean image"]["ssim"] == pytest.approx(judge.result().values["ssim"])
    assert rows["constant 20 m"]["num_frames"] == 2


def test_stats_says_when_it_judges_on_the_frames_that_the_means_are_of(unreal):
    root = unreal(num_train=3, num_val=0)
    words = "set has train only, so the means are judged on their own frames; mde-data split holds some out"
    assert words in run("stats", root).stderr
    assert not run("stats", unreal()).stderr


def test_stats_leaves_bad_frames_out_of_the_mean_unless_they_are_asked_for(unreal):
    root = unreal()
    write_pair(root, "train", "1", np.full((HEIGHT_PX, WIDTH_PX), 0.6, np.float32))
    without, with_them = (
        json.loads(run("stats", root, "--json", *extra).stdout) for extra in ((), ("--keep-bad-frames",))
    )
    assert (without["num_train_frames"], with_them["num_train_frames"]) == (2, 3)
    assert with_them["mean_depth_m"] == pytest.approx((2 * without["mean_depth_m"] + 0.6) / 3, rel=1e-6)


def test_stats_of_frames_of_many_sizes_has_no_mean_image(tmp_path):
    declared = {"frames": "frames", "depth": "depth", "metres_per_unit": 0.01}
    (tmp_path / "layout.json").write_text(json.dumps(declared))
    for split in ("train", "val"):
        for kind in ("frames", "depth"):
            (tmp_path / kind / split).mkdir(parents=True)
        for index, height_px in enumerate((40, 44)):
            levels = np.full((height_px, 120), 500 + 200 * index, np.uint16)
            levels[:4] = 0  # not measured: in no mean
            Image.new("RGB", (120, height_px)).save(tmp_path / "frames" / split / f"{index}.png")
            Image.fromarray(levels).save(tmp_path / "depth" / split / f"{index}.png")
    figures = json.loads(run("stats", tmp_path, "--protocol", "kitti", "--json").stdout)
    mean_m = (36 * 5 + 40 * 7) / 76
    assert figures["mean_depth_m"] == pytest.approx(mean_m)
    (row,) = figures["baselines"]
    assert row["guess"].startswith("mean, ")
    assert row["rmse_m"] == pytest.approx((mean_m - 5 + 7 - mean_m) / 2, rel=1e-5)


def test_stats_of_an_unknown_protocol_is_wrong_usage(unreal):
    result = run("stats", unreal(), "--protocol", "sead")
    assert result.exit_code == 2
    assert "'sead' is not one of 'auto', 'plain'" in result.stderr


def test_help_loads_nothing_heavy():
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, mde_train.cli.data; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert {"numpy", "PIL", "rich", "torch", "multiprocessing"}.isdisjoint(loaded)


@pytest.mark.parametrize("command", [(), ("synth",), ("check",), ("stats",), ("split",)])
def test_every_command_has_help(command):
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) > 5


def test_the_mean_image_guesses_the_mean_where_no_frame_was_measured(tmp_path):
    (tmp_path / "layout.json").write_text('{"frames": "frames", "depth": "depth", "metres_per_unit": 0.01}')
    for split in ("train", "val"):
        for kind in ("frames", "depth"):
            (tmp_path / kind / split).mkdir(parents=True)
        levels = np.full((40, 120), 500, np.uint16)
        if split == "train":
            levels[:, ::2] = 0  # a laser that met every other column
        Image.new("RGB", (120, 40)).save(tmp_path / "frames" / split / "0.png")
        Image.fromarray(levels).save(tmp_path / "depth" / split / "0.png")
    for protocol in ("plain", "kitti"):
        figures = json.loads(run("stats", tmp_path, "--protocol", protocol, "--json").stdout)
        rows = {row["guess"]: row for row in figures["baselines"]}
        assert rows["mean image"]["rmse_m"] == pytest.approx(0, abs=1e-6)  # float32 of 5 m
