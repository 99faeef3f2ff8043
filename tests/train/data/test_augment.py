from dataclasses import replace

import pytest
import torch

from mde_train.augment import NOTHING, Augment, augmented

HEIGHT_PX, WIDTH_PX = 48, 64
STRONG = Augment(
    flip=0.5, zoom=1.6, gamma=0.4, contrast=0.4, brightness=0.4, colour=0.2, haze=0.05, saturation=0.5, mix=0.5
)


def batch(size: int = 4) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Random frames; depth from 1 to 30 m with a tenth of it not measured."""
    chance = torch.Generator().manual_seed(1)
    frames = torch.randint(0, 256, (size, 3, HEIGHT_PX, WIDTH_PX), generator=chance).float()
    depth_m = 1 + 29 * torch.rand((size, 1, HEIGHT_PX, WIDTH_PX), generator=chance)
    valid = torch.rand((size, 1, HEIGHT_PX, WIDTH_PX), generator=chance) > 0.1
    return frames, depth_m * valid, valid


def changed(how: Augment, seed: int = 0, samples=None):
    return augmented(*(samples or batch()), how, torch.Generator().manual_seed(seed))


def test_nothing_changes_nothing():
    for before, after in zip(batch(), changed(NOTHING), strict=True):
        assert torch.equal(before, after)


def test_the_same_generator_gives_the_same_batch_and_another_gives_another():
    once, again, other = changed(STRONG, 3), changed(STRONG, 3), changed(STRONG, 4)
    assert all(torch.equal(*pair) for pair in zip(once, again, strict=True))
    assert not torch.equal(once[0], other[0])


def test_equal_samples_of_a_batch_are_changed_each_in_its_own_way():
    frames, depth_m, valid = (values[:1].repeat(4, 1, 1, 1) for values in batch())
    after, _, _ = changed(STRONG, samples=(frames, depth_m, valid))
    assert len({float(frame.mean()) for frame in after}) == 4


def test_what_was_handed_in_is_left_as_it_was():
    samples = batch()
    changed(STRONG, samples=samples)
    assert all(torch.equal(*pair) for pair in zip(samples, batch(), strict=True))


def test_flip_mirrors_frame_depth_and_mask():
    for before, after in zip(batch(), changed(replace(NOTHING, flip=1.0)), strict=True):
        torch.testing.assert_close(after, before.flip(-1), atol=1e-2, rtol=0)  # frames go through a bilinear grid


def test_a_level_camera_sees_the_same_flat_ground_through_a_longer_lens():
    rows = torch.arange(HEIGHT_PX) - (HEIGHT_PX - 1) / 2
    ground_m = torch.where(rows > 0, 60 / rows.clamp(min=0.1), 0.0).view(1, 1, -1, 1).expand(6, 1, -1, WIDTH_PX)
    frames = torch.zeros(6, 3, HEIGHT_PX, WIDTH_PX)
    _, depth_m, valid = changed(replace(NOTHING, zoom=2.0), samples=(frames, ground_m.contiguous(), ground_m > 0))
    assert not torch.equal(depth_m, ground_m)
    below = slice(HEIGHT_PX // 2 + 12, None)  # the nearest row: half a row off is 8 % there, less below
    torch.testing.assert_close(depth_m[:, :, below], ground_m[:, :, below], rtol=0.1, atol=0)
    assert torch.equal(valid[:, :, below], ground_m[:, :, below] > 0)


def test_zoom_divides_depth_by_at_most_the_magnification():
    depth_m = torch.full((64, 1, HEIGHT_PX, WIDTH_PX), 12.0)
    frames = torch.zeros(64, 3, HEIGHT_PX, WIDTH_PX)
    _, after_m, _ = changed(replace(NOTHING, zoom=1.5), samples=(frames, depth_m, depth_m > 0))
    per_frame = after_m.flatten(1)
    assert torch.equal(per_frame.amin(1), per_frame.amax(1))
    assert per_frame.min() == pytest.approx(8.0, abs=0.2)
    assert per_frame.max() == 12.0
    assert 0.1 < (per_frame[:, 0] == 12.0).float().mean() < 0.5  # 3 in 10 keep their size


def test_frame_and_depth_move_together():
    is_right = (torch.arange(WIDTH_PX) >= WIDTH_PX // 2).expand(8, 1, HEIGHT_PX, WIDTH_PX)
    frames = (255.0 * is_right).expand(8, 3, HEIGHT_PX, WIDTH_PX)
    depth_m = torch.where(is_right, 20.0, 4.0)
    frame, after_m, _ = changed(
        replace(NOTHING, flip=0.5, zoom=1.5), samples=(frames, depth_m, torch.ones_like(is_right))
    )
    shown_right = frame[:, :1] > 127.5
    for sample_right, sample_m in zip(shown_right, after_m, strict=True):
        assert sample_m[sample_right].min() > 3 * sample_m[~sample_right].max() or sample_right.all()


def test_what_was_not_measured_stays_not_measured():
    _, depth_m, valid = changed(STRONG)
    assert torch.equal(valid, depth_m > 0)
    assert 0.02 < (~valid).float().mean() < 0.3


@pytest.mark.parametrize("what", ["gamma", "contrast", "brightness", "colour", "haze", "saturation"])
def test_changes_of_light_leave_depth_alone_and_frames_in_range(what):
    frames, depth_m, valid = batch()
    after, after_m, after_valid = changed(replace(NOTHING, **{what: 0.5}))
    assert torch.equal(after_m, depth_m)
    assert torch.equal(after_valid, valid)
    assert not torch.allclose(after, frames, atol=1)
    assert after.min() >= 0
    assert after.max() <= 255


def test_haze_pales_the_far_more_than_the_near():
    frames = torch.full((8, 3, HEIGHT_PX, WIDTH_PX), 20.0)
    frames[:, :, 0, 0] = 255.0  # the brightest pixel says how light the haze is
    depth_m = torch.linspace(1, 60, WIDTH_PX).expand(8, 1, HEIGHT_PX, WIDTH_PX)
    after, _, _ = changed(replace(NOTHING, haze=0.05), samples=(frames, depth_m, depth_m > 0))
    assert (after[:, :, 10].diff(dim=-1) >= 0).all()
    assert (after[:, 0, 10, -1] > after[:, 0, 10, 0] + 5).any()


def test_saturation_moves_colours_to_or_from_grey():
    frames, depth_m, valid = batch(16)
    frames = 100 + frames / 5  # far from black and white
    after, _, _ = changed(replace(NOTHING, saturation=0.5), samples=(frames, depth_m, valid))
    torch.testing.assert_close(after.mean(1), frames.mean(1), atol=1e-2, rtol=0)
    spread = after.std(1).mean(dim=(1, 2)) / frames.std(1).mean(dim=(1, 2))
    assert spread.min() < 0.8
    assert spread.max() > 1.25


def test_a_clearly_nearer_thing_of_another_frame_hides_what_is_behind():
    frames = torch.stack([torch.full((3, HEIGHT_PX, WIDTH_PX), value) for value in (10.0, 200.0)])
    depth_m = torch.full((2, 1, HEIGHT_PX, WIDTH_PX), 8.0)
    depth_m[1, :, :, 20:30] = 3.0  # a post in the second frame
    after, after_m, _ = changed(replace(NOTHING, mix=1.0), samples=(frames, depth_m, depth_m > 0))
    is_post = after_m[0, 0] == 3.0
    assert torch.equal(is_post, depth_m[1, 0] == 3.0)
    assert torch.equal(after[0, 0], torch.where(is_post, 200.0, 10.0))
    assert torch.equal(after_m[1], depth_m[1])  # its post stays before the first frame's wall


def test_ground_that_is_as_far_in_both_frames_is_not_mixed():
    frames, depth_m, valid = batch(2)
    depth_m = torch.full_like(depth_m, 8.0)
    depth_m[1] *= 0.9
    after, _, _ = changed(replace(NOTHING, mix=1.0), samples=(frames, depth_m, valid))
    assert torch.equal(after, frames)


def test_nothing_is_put_before_what_was_not_measured():
    frames, depth_m, valid = batch(2)
    _, after_m, after_valid = changed(replace(NOTHING, mix=1.0), samples=(frames, depth_m, valid))
    assert torch.equal(after_valid, valid)
    assert (after_m[~valid] == 0).all()
    assert not torch.equal(after_m, depth_m)
