"""The table of ablations: variants train, and what needs no training is judged beside them."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from lab.ablations import Figures, Flipped, main, settled, soup_of, table_of
from lab.ideas.frames import write
from mde_runtime.contract import Contract
from mde_train.data import FrameArrays, open_split
from mde_train.data.samples import sample_of
from mde_train.models import contract_of


@pytest.fixture(scope="module")
def frames():
    """Twenty small frames of noise, with depth from 1 to 30 m."""
    rng = np.random.default_rng(0)
    pictures = rng.integers(100, 256, (20, 32, 64, 3), np.uint8)
    depth_m = rng.uniform(1, 30, (20, 32, 64)).astype(np.float16)
    return FrameArrays(tuple(map(str, range(20))), pictures, depth_m, depth_m > 0, "")


@pytest.fixture
def data(frames, tmp_path):
    """A data set of them."""
    samples = zip(frames.names, frames.frames, frames.depth_m, strict=True)
    write(tmp_path / "data", (sample_of(*sample) for sample in samples), frames)
    return tmp_path / "data"


def test_a_variant_trains_once_and_the_untrained_stand_below_it(data, tmp_path, capfd):
    command = [str(data), "--out", str(tmp_path), "--holdout", "0..3", "--epochs", "1"]
    command += ["--variant", "whole", "--variant", "self-labelled"]
    main.invoke(main.make_context("ablations", list(command)))
    table = capfd.readouterr().out
    found = json.loads((tmp_path / "ablations.json").read_text())
    assert [row["variant"] for row in found] == ["whole", "self-labelled", "flip", "sample", "sample, statistics"]
    assert all(0 < row["rmse_m"] < 20 and -1 < row["ssim"] < 1 for row in found)
    assert all(f"`{row['variant']}`" in table for row in found)
    written = (tmp_path / "whole-0" / "last.ckpt").stat().st_mtime_ns
    main.invoke(main.make_context("ablations", list(command)))
    assert capfd.readouterr().out == table
    assert (tmp_path / "whole-0" / "last.ckpt").stat().st_mtime_ns == written
    assert len(open_split(tmp_path / "self-labelled-0-data", "train")) == 16


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


def test_settled_statistics_are_those_of_the_frames(frames):
    contract: Contract = contract_of("fast", 32, 64, {})
    network = nn.Sequential(nn.BatchNorm2d(3)).eval()
    copy = settled(network, contract, frames)
    mean = np.asarray(contract.to_network.mean)
    std = np.asarray(contract.to_network.std)
    expected = ((frames.frames / 255).mean((0, 1, 2)) - mean) / std
    np.testing.assert_allclose(copy[0].running_mean.numpy(), expected, rtol=0.01)
    assert torch.equal(network[0].running_mean, torch.zeros(3))
    assert not copy.training
