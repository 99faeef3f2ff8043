import numpy as np
import pytest

from mde_bench.accuracy.anatomy import Flicker, anatomy, depth_edges


def maps(*rows):
    return np.asarray([rows], np.float32)


def everywhere(values):
    return np.ones(values.shape, bool)


def test_every_pixel_is_in_one_bin_and_the_far_end_in_the_last():
    truth = np.linspace(0, 20, 600, dtype=np.float32).reshape(1, 20, 30)
    found = anatomy(truth, truth, everywhere(truth), 0, 20)
    assert [(part.near_m, part.far_m) for part in found.bins] == [(0, 2), (2, 5), (5, 10), (10, 20)]
    assert sum(part.share for part in found.bins) == pytest.approx(1)


def test_an_error_is_counted_where_its_truth_is():
    truth = maps([1, 1, 15, 15])
    found = anatomy(truth + maps([0, 0, 3, 3]), truth, everywhere(truth), 0, 20)
    assert [part.rmse_m for part in found.bins] == [0, None, None, 3]
    assert [part.bias_m for part in found.bins] == [0, None, None, 3]


def test_the_whole_of_the_error_is_told_in_the_fields_figures():
    truth = maps([0, 2, 10, 20])
    found = anatomy(truth + maps([1, 1, 0, -4]), truth, everywhere(truth), 0, 20)
    assert found.bias_m == pytest.approx(-0.5)
    assert found.max_abs_m == 4
    assert found.rmse_m == pytest.approx((18 / 4) ** 0.5)
    assert found.abs_rel == pytest.approx((0.5 + 0 + 0.2) / 3)  # nothing is relative to a truth of 0
    assert found.delta1 == pytest.approx(1 / 4)  # 20 m seen as 16 m is off by a factor of 1.25, which is not below it


def test_pixels_that_were_not_measured_count_nowhere():
    truth = maps([1, 0])
    found = anatomy(truth + 1, truth, maps([1, 0]).astype(bool), 0, 20)
    assert found.bins[0].share == 1


def test_both_sides_of_a_jump_are_edges_and_a_slope_is_none():
    assert depth_edges(maps([5, 5, 9, 9])).tolist() == [[[False, True, True, False]]]
    assert depth_edges(maps([5.0], [9.0], [9.1])).tolist() == [[[True], [True], [False]]]
    assert not depth_edges(maps([5, 5.2, 5.4, 5.6])).any()


def test_errors_at_edges_are_told_from_those_elsewhere():
    truth = maps([5, 5, 9, 9])
    found = anatomy(truth + maps([0, 2, 2, 0]), truth, everywhere(truth), 0, 20)
    assert (found.edge_share, found.edge_rmse_m, found.elsewhere_rmse_m) == (0.5, 2, 0)


def flicker(depths, truths):
    accumulator = Flicker(far_m=20)
    for depth, truth in zip(depths, truths, strict=True):
        accumulator.add(np.full((2, 3), depth), np.full((2, 3), truth), np.ones((2, 3), bool))
    return accumulator.mean_m()


def test_depth_that_follows_the_truth_does_not_flicker_however_wrong_it_is():
    assert flicker([3, 3.5, 4], [10, 10.5, 11]) == 0


def test_depth_that_jumps_while_the_truth_stands_still_flickers_by_its_jump():
    assert flicker([1, 3, 1], [1, 1, 1]) == 2


def test_a_cut_between_two_films_is_no_flicker():
    """The error jumps by 5 m where the truth goes from 4 m to 8 m: another place, not another answer."""
    assert flicker([5, 6, 4, 5], [4, 4, 8, 8]) == 1


def test_pictures_that_are_no_film_have_no_flicker():
    assert flicker([1, 3, 1], [2, 8, 4]) is None


def test_two_pictures_of_many_that_are_alike_make_no_film():
    assert flicker([1, 1, 3, 3, 5], [2, 8, 4, 4, 1]) is None


def test_a_cut_is_seen_by_what_is_within_the_range():
    """Three quarters are sky in both frames; the rest is another place."""
    accumulator = Flicker(far_m=20)
    for depth, place in ((5, 4), (9, 8)):
        truth = np.full((2, 4), 20.0)
        truth[0, :2] = place
        accumulator.add(np.full((2, 4), depth), truth, everywhere(truth))
    assert accumulator.mean_m() is None


def test_one_frame_cannot_flicker():
    assert flicker([1], [1]) is None


def test_neighbours_without_a_common_valid_pixel_count_nowhere():
    accumulator, left, right = Flicker(far_m=20), maps([1, 0])[0] > 0, maps([0, 1])[0] > 0
    for depth, valid in ((1, left), (3, right), (4, right)):
        accumulator.add(maps([depth, depth])[0], maps([1, 1])[0], valid)
    assert accumulator.mean_m() == 1
