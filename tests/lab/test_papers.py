"""The table of the NYU slides: the networks train one after the other, and what the slides divided by is shown."""

import json
import subprocess
import sys

import numpy as np
import pytest

from lab.papers import EPSILON_M, Found, abs_rel_unmasked, curves_of, table_of
from mde_train.data.synth.dataset import synthesise
from mde_train.data.synth.scene import Lens


@pytest.fixture(scope="module")
def rooms(tmp_path_factory):
    """Twenty rendered rooms of NYU's size and angle."""
    folder = tmp_path_factory.mktemp("rooms") / "rooms"
    synthesise(folder, 20, 0, Lens(480, 640, 519.0), "rooms")
    return folder


def papers(*arguments):
    command = [sys.executable, "-m", "lab.papers", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True)


def test_one_network_trains_is_judged_and_is_not_trained_again(rooms, tmp_path):
    arguments = [str(rooms), "--out", str(tmp_path), "--network", "cnn-trans", "--minutes", "5"]
    settings = ["--set", "epochs=1", "--set", "batch_size=8"]
    first = papers(*arguments, *settings)
    assert "CNN+trans" in first.stdout
    (figures,) = json.loads((tmp_path / "papers.json").read_text())
    assert (figures["num_frames"], figures["epochs"]) == (4, 1.0)
    assert 0.0 <= figures["delta1"] <= 1.0 < 1e3 < figures["abs_rel_unmasked"]
    assert "polyline" in (tmp_path / "curves.svg").read_text()
    checkpoint = (tmp_path / "cnn-trans" / "best.ckpt").stat().st_mtime_ns
    assert papers(*arguments).stdout == first.stdout
    assert (tmp_path / "cnn-trans" / "best.ckpt").stat().st_mtime_ns == checkpoint


def test_a_truth_of_zero_that_is_not_masked_gives_the_slides_figures():
    depth_m = np.full((10, 10), 2.0)
    truth_m = depth_m.copy()
    assert abs_rel_unmasked(depth_m, np.where(np.arange(100).reshape(10, 10) < 5, 0, truth_m), None) == pytest.approx(
        0.05 * (2.0 - EPSILON_M) / EPSILON_M
    )
    assert 1e4 < abs_rel_unmasked(depth_m, truth_m, np.random.default_rng(0)) < 1e6


def test_the_table_has_a_row_for_each_network_with_the_slides_beside_it():
    row = Found("fcrn", 12.3, 1.5, 200, 0.4321, 0.2, 0.987, 2e5)
    table = table_of([row])
    assert "| CNN+Res | 12 | 1.5 | 0.432 | 0.200 | 0.99 | 2e+05 | 0.634 | 2.35e4 | 1.74 |" in table


def test_curves_without_a_step_are_still_a_picture():
    assert curves_of({}).startswith("<svg")
