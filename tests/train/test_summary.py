"""The end of a run: the mean image that its figures are held against."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mde_runtime.protocols import open_protocol
from mde_train.recipes import recipe_named
from mde_train.summary import mean_image_figures
from mde_train.training_data import load_data

HEIGHT_PX, WIDTH_PX = 32, 64


@pytest.fixture
def street(tmp_path: Path) -> Path:
    """A third of the frames has its sky, of 100 m, where the others have a house."""
    chance = np.random.default_rng(0)
    for split, number in (("train", 18), ("val", 6)):
        for kind in ("rgb", "depth"):
            (tmp_path / kind / split).mkdir(parents=True)
        for index in range(number):
            depth_m = chance.uniform(3, 9, (HEIGHT_PX, WIDTH_PX)).astype(np.float32)
            if index % 3 == 0:
                depth_m[: HEIGHT_PX // 2] = 100
            Image.new("RGB", (WIDTH_PX, HEIGHT_PX)).save(tmp_path / "rgb" / split / f"{index}.jpeg")
            np.save(tmp_path / "depth" / split / f"{index}.npy", depth_m)
    return tmp_path


def test_the_mean_image_is_that_of_the_truth_as_the_protocol_sees_it(street):
    data = load_data(street, recipe_named("fast"))
    judge = open_protocol("seed")
    guess_m = np.minimum(data.train.depth_m.astype(np.float64), 20).mean(axis=0)
    for depth_m in data.judged.depth_m:
        judge.add(guess_m, depth_m.astype(np.float32))
    assert mean_image_figures(data, "seed") == pytest.approx(judge.result().values)


def test_a_protocol_that_sees_the_sky_has_it_in_the_mean(street):
    data = load_data(street, recipe_named("fast"))
    judge = open_protocol("plain", data.contract.from_network.span_m)
    guess_m = np.clip(data.train.depth_m.astype(np.float64).mean(axis=0), 0, 20)  # the model says no more than 20 m
    for depth_m in data.judged.depth_m:
        judge.add(guess_m, depth_m.astype(np.float32))
    assert mean_image_figures(data, "plain") == pytest.approx(judge.result().values)
