"""The table of ablations: variants train, and what needs no training is judged beside them."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from lab.ablations import Figures, Flipped, settled, soup_of, table_of
from mde_runtime.contract import Contract
from mde_train.data import load_arrays, open_split
from mde_train.data.synth.dataset import synthesise
from mde_train.data.synth.scene import Lens
from mde_train.models import contract_of


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Twenty-eight rendered frames of the sample's size."""
    folder = tmp_path_factory.mktemp("scenes") / "scenes"
    synthesise(folder, 28, 0, Lens(144, 256, 128.0))
    return folder


def test_a_variant_trains_once_and_the_untrained_stand_below_it(scenes, tmp_path):
    names = open_split(scenes, "train").names
    arguments = [str(scenes), "--out", str(tmp_path), "--holdout", f"{names[0]}..{names[3]}", "--epochs", "1"]
    command = [sys.executable, "-m", "lab.ablations", *arguments, "--variant", "whole", "--variant", "rmse"]
    table = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = json.loads((tmp_path / "ablations.json").read_text())
    assert [row["variant"] for row in found] == ["whole", "rmse", "flip", "sample", "sample, statistics"]
    assert all(0 < row["rmse_m"] < 20 and 0 < row["ssim"] < 1 for row in found)
    assert all(f"`{row['variant']}`" in table for row in found)
    written = (tmp_path / "whole-0" / "best.ckpt").stat().st_mtime_ns
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == table
    assert (tmp_path / "whole-0" / "best.ckpt").stat().st_mtime_ns == written


def test_the_table_states_seeds_apart_and_what_changed():
    rows = [Figures("whole", 0, 3.0, 0.5, 6), Figures("whole", 1, 3.2, 0.52, 8), Figures("rmse", 0, 3.0, 0.4, 7)]
    table = table_of(rows)
    assert "| 2 | 7 | 3.100 m ± 0.100 | 0.510 ± 0.010 |" in table
    assert "| 1 | 7 | 3.000 m | 0.400 | -0.100 m |" in table


def test_a_flip_answers_as_well_for_the_mirrored_picture():
    network = nn.Conv2d(3, 1, 3, padding=1)
    picture = torch.rand(1, 3, 6, 8)
    there, mirrored = Flipped(network)(picture), Flipped(network)(picture.flip(-1)).flip(-1)
    torch.testing.assert_close(there, mirrored)
    assert not torch.allclose(network(picture), network(picture.flip(-1)).flip(-1))


def test_a_soup_has_the_mean_of_all_weights():
    one, other = nn.Linear(2, 1), nn.Linear(2, 1)
    soup = soup_of([one, other])
    torch.testing.assert_close(soup.weight, (one.weight + other.weight) / 2)
    assert not torch.equal(soup.weight, one.weight)


def test_settled_statistics_are_those_of_the_frames(scenes):
    frames = load_arrays(open_split(scenes, "train").picked(range(16)), "float16")
    contract: Contract = contract_of("fast", 144, 256, {})
    network = nn.Sequential(nn.BatchNorm2d(3)).eval()
    copy = settled(network, contract, frames)
    mean = np.asarray(contract.to_network.mean)
    std = np.asarray(contract.to_network.std)
    expected = ((frames.frames / 255).mean((0, 1, 2)) - mean) / std
    padding = (144 * 256) / (160 * 256)  # the network's input is padded with zeros
    np.testing.assert_allclose(copy[0].running_mean.numpy(), expected * padding, rtol=0.01)
    assert torch.equal(network[0].running_mean, torch.zeros(3))
    assert not copy.training
