"""The protocol for one's own data: pixels without a measurement weigh nothing, and nothing else is left out."""

import numpy as np
import pytest

from mde_runtime import metrics
from mde_runtime.errors import BadInputError
from mde_runtime.protocols import open_protocol
from mde_runtime.protocols.plain import whole_windows

SPAN_M = 20.0


def judged(*pairs, span_m=SPAN_M):
    judge = open_protocol("plain", span_m)
    for depth_m, truth_m in pairs:
        judge.add(np.asarray(depth_m, np.float32), np.asarray(truth_m, np.float32))
    return judge.result().values


@pytest.fixture
def rooms():
    """A depth and a truth, (40, 60), a smooth ramp of 1 to 6 m with noise between them."""
    chance = np.random.default_rng(1)
    truth_m = np.linspace(1, 6, 40 * 60).reshape(40, 60)
    return truth_m + chance.normal(0, 0.1, truth_m.shape), truth_m


@pytest.mark.parametrize("hole", [0.0, np.nan, np.inf, -1.0])
def test_what_stands_in_an_unmeasured_pixel_changes_nothing(rooms, hole):
    depth_m, truth_m = rooms
    holes = np.random.default_rng(2).random(truth_m.shape) < 0.06
    with_holes, elsewhere = np.where(holes, hole, truth_m), np.where(holes, 19.0, depth_m)
    figures = judged((elsewhere, with_holes))
    assert figures["rmse_m"] == pytest.approx(metrics.rmse(depth_m, truth_m, ~holes), rel=1e-5)
    assert figures["abs_rel"] == pytest.approx(metrics.abs_rel(depth_m, truth_m, ~holes), rel=1e-5)


def test_a_measured_pixel_counts_however_far_it_is():
    far = np.full((20, 20), 80.0)
    assert judged((far - 8, far))["rmse_m"] == pytest.approx(8.0)


def test_every_frame_weighs_the_same():
    ones = np.ones((20, 20))
    almost_empty = np.zeros((20, 20))
    almost_empty[0, 0] = 1.0
    assert judged((ones * 2, ones), (ones * 4, almost_empty))["rmse_m"] == pytest.approx((1 + 3) / 2)


def test_similarity_is_that_of_the_whole_frame_away_from_its_border(rooms):
    depth_m, truth_m = rooms
    depth_m, truth_m = np.float32(depth_m), np.float32(truth_m)
    inner = metrics.ssim_map(depth_m, truth_m, SPAN_M)[5:-5, 5:-5].mean()
    assert judged((depth_m, truth_m))["ssim"] == pytest.approx(inner)


def test_a_window_with_a_hole_is_not_whole():
    valid = np.ones((30, 30), bool)
    valid[10, 12] = False
    slow = np.zeros_like(valid)
    for row in range(5, 25):
        for column in range(5, 25):
            slow[row, column] = valid[row - 5 : row + 6, column - 5 : column + 6].all()
    assert np.array_equal(whole_windows(valid), slow)


def test_similarity_is_left_out_where_hardly_a_window_is_whole(rooms):
    depth_m, truth_m = rooms
    sparse = truth_m * (np.arange(60) % 8 == 0)
    assert "ssim" not in judged((depth_m, sparse))
    assert "ssim" not in judged(rooms, span_m=None)


def test_a_frame_without_a_measurement_is_refused():
    with pytest.raises(BadInputError, match="frame 0: no pixel of the ground truth was measured; leave the frame out"):
        judged((np.ones((4, 4)), np.zeros((4, 4))))
