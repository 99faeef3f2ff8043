"""The laboratory's ideas for training: their loss, their networks and the frames that they make."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lab.ideas import bins, finer
from lab.ideas.frames import Given, distilled, rendered, self_labelled, styled, with_style, write, zoomed
from lab.ideas.frames import with_cut as cut
from lab.ideas.log_l1 import log_l1
from lab.ideas.train import NETWORKS, register
from mde_train.data import FrameArrays, load_arrays, open_split
from mde_train.losses import LOSSES
from mde_train.models import MODELS, build_model, fast

SAMPLE = Path(__file__).resolve().parents[2] / "samples" / "weights.ckpt"
HEIGHT, WIDTH = 32, 64


@pytest.fixture(scope="module")
def frames() -> FrameArrays:
    """Three small frames with depth from 1 to 30 m, a hole in each."""
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (3, HEIGHT, WIDTH, 3), np.uint8)
    depth_m = rng.uniform(1, 30, (3, HEIGHT, WIDTH)).astype(np.float16)
    depth_m[:, 5, 5] = 0
    return FrameArrays(("a", "b", "c"), pictures, depth_m, depth_m > 0, "")


@pytest.fixture(scope="module")
def given(frames) -> Given:
    return Given(frames, SAMPLE)


@pytest.fixture
def tables(monkeypatch):
    """The product's tables, put back afterwards."""
    for table in (LOSSES, MODELS):
        for name in ("log-l1", *NETWORKS):
            monkeypatch.delitem(table, name, raising=False)
    yield
    for table in (LOSSES, MODELS):
        for name in ("log-l1", *NETWORKS):
            table.pop(name, None)


@pytest.mark.usefixtures("tables")
def test_the_laboratory_adds_its_loss_and_networks_to_the_tables():
    register()
    assert LOSSES["log-l1"] is log_l1
    assert {type(build_model(name)).__name__ for name in NETWORKS} == {"Fast", "Finer"}


def test_log_l1_weighs_a_share_of_the_distance_the_same_everywhere():
    truth_m = torch.tensor([1.0, 10.0, 5.0]).view(1, 1, 1, 3)
    valid = torch.tensor([True, True, False]).view(1, 1, 1, 3)
    off = log_l1(truth_m * torch.tensor([1.1, 1 / 1.1, 7.0]), truth_m, valid)
    torch.testing.assert_close(off, torch.tensor(1.1).log())
    assert log_l1(truth_m, truth_m, valid) == 0


def test_bins_reach_the_far_end_and_no_further():
    head = bins.BinsHead(16, 0.0, 20.0)
    torch.nn.init.zeros_(head.scores.weight)
    head.scores.bias.data = torch.arange(bins.NUM_BINS).repeat_interleave(4) * 10.0  # the last bin, everywhere
    far_m = torch.full((2, 1, 8, 12), 20.0)
    torch.testing.assert_close(head(torch.rand(2, 16, 4, 6)), far_m, rtol=1e-5, atol=0)  # float32 sums of 32 shares
    head.scores.bias.data *= 0
    middle_m = head(torch.rand(2, 16, 4, 6))
    assert middle_m.min() > 0
    assert middle_m.max() < 20


@pytest.mark.parametrize("model", [bins, finer])
def test_a_network_of_the_laboratory_begins_from_the_weights_of_fast(model):
    begun, fresh = model.build(SAMPLE).eval(), fast.build().eval()
    of_sample = torch.load(SAMPLE, weights_only=True)["network"]
    torch.testing.assert_close(begun.stem[0].weight, of_sample["stem.0.weight"])
    assert not torch.equal(fresh.stem[0].weight, of_sample["stem.0.weight"])
    assert begun(torch.rand(2, 3, HEIGHT, WIDTH)).shape == (2, 1, HEIGHT, WIDTH)


def test_a_finer_picture_is_another_question_to_the_same_weights():
    picture = torch.rand(1, 3, 160, 256)
    plain = fast.build().eval()
    same = finer.Finer().eval()
    same.load_state_dict(plain.state_dict())
    assert same(picture).shape == plain(picture).shape
    assert not torch.allclose(same(picture), plain(picture), atol=1e-3)


def test_a_style_changes_the_coarse_and_keeps_the_fine():
    rng = np.random.default_rng(1)
    frame = rng.integers(100, 150, (HEIGHT, WIDTH, 3), np.uint8)
    dark = np.full((HEIGHT, WIDTH, 3), 60, np.uint8)
    changed = with_style(frame, dark)
    assert abs(changed.mean() - 60) < 1
    before, after = (np.diff(picture.astype(float), axis=1) for picture in (frame, changed))
    assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.9
    np.testing.assert_array_equal(with_style(frame, frame), frame)


def test_a_zoomed_part_is_nearer_by_the_zoom():
    frame, depth_m = np.zeros((HEIGHT, WIDTH, 3), np.uint8), np.full((HEIGHT, WIDTH), 9.0, np.float32)
    depth_m[: HEIGHT // 2] = 18.0
    frame[: HEIGHT // 2] = 200
    seen = [zoomed(frame, depth_m, np.random.default_rng(seed)) for seed in range(40)]
    zooms = [18.0 / float(depth.max()) if depth.max() > 9 else 9.0 / float(depth.max()) for _, depth in seen]
    assert all(1 <= zoom < 1.8 for zoom in zooms)
    assert 0 < sum(zoom == 1 for zoom in zooms) < len(zooms)
    horizons = {int((depth > depth.mean()).sum()) // WIDTH for _, depth in seen}
    assert len(horizons) > 5  # of the rows: it moves
    for picture, depth in seen:  # picture and depth moved as one, but for a blended row
        assert ((picture[..., 0] > 100) != (depth > depth.mean())).mean() < 2 / HEIGHT


def test_a_cut_shows_depth_in_some_columns_of_some_pictures():
    frame, depth_m = np.zeros((HEIGHT, WIDTH, 3), np.uint8), np.full((HEIGHT, WIDTH), 10.0, np.float32)
    shown = [cut(frame, depth_m, np.random.default_rng(seed)) for seed in range(40)]
    assert 0 < sum(bool(picture.any()) for picture in shown) < len(shown)
    for picture in shown:
        columns = picture[..., 0].any(axis=0)
        assert (picture[:, columns] == 127).all()
        assert columns.sum() <= 0.75 * WIDTH
    assert not frame.any()


def test_labels_are_the_checkpoint_s_own_where_the_mirror_image_agrees(given, frames):
    made = list(self_labelled(given))
    assert [sample.name for sample in made] == list(frames.names)
    without_truth = replace(frames, depth_m=np.zeros_like(frames.depth_m))
    blind = list(self_labelled(replace(given, frames=without_truth)))
    assert all(np.array_equal(one.depth_m, other.depth_m) for one, other in zip(made, blind, strict=True))
    assert 0 < np.mean([sample.valid.mean() for sample in made]) < 1


def test_a_label_at_the_far_end_stays_far_when_a_zoom_divides_it():
    street = np.asarray(Image.open(SAMPLE.with_name("street.jpeg")).convert("RGB"))[None]
    truth_m = np.full(street.shape[:3], 50, np.float16)
    given = Given(FrameArrays(("street",), street, truth_m, truth_m > 0, ""), SAMPLE)
    (labelled,), (taught,) = self_labelled(given), distilled(given)
    assert labelled.depth_m.max() == 100  # the sky's, where the network says 20 m
    assert not ((labelled.depth_m > 0.991 * 20) & (labelled.depth_m < 100)).any()
    assert (taught.depth_m == 50).all()


def test_distilled_depth_lies_between_truth_and_teacher(given, frames):
    for sample, depth_m, valid in zip(distilled(given), frames.depth_m, frames.valid, strict=True):
        truth_m = np.float32(depth_m)
        alone = ~valid | (truth_m >= 20)  # unmeasured, or beyond the teacher's range
        np.testing.assert_array_equal(sample.depth_m[alone], truth_m[alone])
        taught_m = 2 * sample.depth_m[~alone] - truth_m[~alone]
        assert taught_m.min() > -0.01
        assert taught_m.max() < 20.01


def test_scenes_are_as_many_as_the_frames_and_of_their_size(given, frames):
    plain, with_styles = list(rendered(given)), list(styled(given))
    assert [sample.frame.shape for sample in plain] == [(HEIGHT, WIDTH, 3)] * len(frames)
    for one, other in zip(plain, with_styles, strict=True):
        np.testing.assert_array_equal(one.depth_m, other.depth_m)
        assert not np.array_equal(one.frame, other.frame)


def test_frames_are_written_as_a_data_set_that_is_judged_by_the_truth(given, frames, tmp_path):
    write(tmp_path / "made", self_labelled(given), frames)
    judged = load_arrays(open_split(tmp_path / "made", "val"), "float16")
    np.testing.assert_array_equal(judged.frames, frames.frames)
    np.testing.assert_array_equal(judged.depth_m, frames.depth_m)
    trained = load_arrays(open_split(tmp_path / "made", "train"), "float16")
    assert not np.array_equal(trained.depth_m, frames.depth_m)
