import dataclasses

import numpy as np
import pytest

from mde_runtime.picture_placement import depth_at_picture_size, frame_of, placement_of


def with_policy(contract, resize):
    return dataclasses.replace(contract, to_network=dataclasses.replace(contract.to_network, resize=resize))


@pytest.mark.parametrize("resize", ["stretch", "letterbox", "pad", "crop"])
def test_a_picture_of_the_right_size_is_left_alone(tiny_contract, tiny_frames, resize):
    contract = with_policy(tiny_contract, resize)
    np.testing.assert_array_equal(frame_of(tiny_frames[0], contract), tiny_frames[0])
    depth_m = np.ones((24, 32), np.float32)
    assert depth_at_picture_size(depth_m, contract, 32, 24) is depth_m


def test_a_bgr_network_gets_the_colours_in_its_order(tiny_contract, tiny_frames):
    bgr = dataclasses.replace(tiny_contract, source=dataclasses.replace(tiny_contract.source, colour="bgr"))
    frame = frame_of(tiny_frames[0], bgr)
    np.testing.assert_array_equal(frame, tiny_frames[0][..., ::-1])
    assert frame.flags.c_contiguous


def test_shrinking_takes_the_mean_over_each_pixels_area(tiny_contract):
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[::2] = 200
    assert (frame_of(picture, tiny_contract) == 100).all()


@pytest.mark.parametrize("resize", ["letterbox", "pad"])
def test_letterbox_leaves_black_bars_and_takes_them_off_again(tiny_contract, resize):
    contract = with_policy(tiny_contract, resize)
    frame = frame_of(np.full((32, 128, 3), 255, np.uint8), contract)
    assert (frame[8:16] == 255).all()
    assert (frame[:8] == 0).all()
    assert (frame[16:] == 0).all()
    depth_m = np.where(frame[..., 0] == 255, np.float32(7), np.float32(0))
    np.testing.assert_allclose(depth_at_picture_size(depth_m, contract, 128, 32), 7, rtol=1e-6)  # float32


def test_crop_leaves_what_was_cut_off_without_depth(tiny_contract):
    contract = with_policy(tiny_contract, "crop")
    depth_m = depth_at_picture_size(np.full((24, 32), 7, np.float32), contract, 128, 48)
    assert (depth_m[:, :32] == 0).all()
    assert (depth_m[:, 96:] == 0).all()
    np.testing.assert_allclose(depth_m[:, 32:96], 7, rtol=1e-6)  # float32


def test_no_depth_is_mixed_with_what_the_network_did_not_see(tiny_contract):
    contract = with_policy(tiny_contract, "crop")
    depth_m = np.full((24, 32), 7, np.float32)
    depth_m[:, :5] = 0
    found = np.unique(depth_at_picture_size(depth_m, contract, 96, 72).round(4))
    assert found.tolist() == [0, 7]


@pytest.mark.parametrize("resize", ["stretch", "letterbox", "pad"])
def test_no_depth_is_mixed_with_what_lies_beyond_the_map(tiny_contract, resize):
    part = dataclasses.replace(tiny_contract.from_network, covers=(4, 4, 20, 28))
    contract = dataclasses.replace(with_policy(tiny_contract, resize), from_network=part)
    depth_m = np.zeros((24, 32), np.float32)
    depth_m[contract.seen] = 7
    found = np.unique(depth_at_picture_size(depth_m, contract, 96, 72).round(4))
    assert found.tolist() == [0, 7]


@pytest.mark.parametrize(("width_px", "height_px"), [(1241, 376), (648, 488), (1304, 976), (976, 484)])
@pytest.mark.parametrize("size", [(384, 512), (518, 518), (192, 640)])
def test_a_crop_never_reaches_beyond_the_picture_by_rounding(tiny_contract, size, width_px, height_px):
    source = dataclasses.replace(tiny_contract.source, height_px=size[0], width_px=size[1])
    contract = with_policy(dataclasses.replace(tiny_contract, source=source), "crop")
    left, top, right, bottom = placement_of(contract, width_px, height_px).picture_box
    assert 0 <= left < right <= width_px
    assert 0 <= top < bottom <= height_px
    assert frame_of(np.full((height_px, width_px, 3), 9, np.uint8), contract).shape == (*size, 3)
    depth_m = depth_at_picture_size(np.full(size, 7, np.float32), contract, width_px, height_px)
    assert depth_m.shape == (height_px, width_px)


@pytest.mark.parametrize("resize", ["stretch", "letterbox", "crop"])
@pytest.mark.parametrize("size", [(1, 1), (5000, 3), (33, 25), (640, 480), (31, 1000)])
def test_depth_comes_back_at_any_pictures_own_size(tiny_contract, resize, size):
    contract = with_policy(tiny_contract, resize)
    width_px, height_px = size
    frame = frame_of(np.full((height_px, width_px, 3), 9, np.uint8), contract)
    assert frame.shape == (24, 32, 3)
    depth_m = depth_at_picture_size(np.ones((24, 32), np.float32), contract, width_px, height_px)
    assert depth_m.shape == (height_px, width_px)
    assert depth_m.max() == pytest.approx(1)


def test_a_crop_is_centred(tiny_contract):
    placement = placement_of(with_policy(tiny_contract, "crop"), 128, 48)
    assert placement.picture_box == (32, 0, 96, 48)
