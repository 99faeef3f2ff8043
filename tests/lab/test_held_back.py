"""The table of where a network's error lies: shares add up, and each kind of error shows in its own row."""

import re

import numpy as np

from lab.held_back import Seen, kinds_of_frame, rescaled, table_of

FAR_M = 20.0


def seen(depth_m, truth_m, level=None):
    valid = truth_m > 0
    level = np.linspace(0, 1, len(depth_m)) if level is None else level
    return Seen(level, depth_m.astype(np.float32), truth_m.astype(np.float32), valid)


def rows(table):
    cells = [[cell.strip() for cell in line.strip("| ").split("|")] for line in table.splitlines()[2:]]
    return {row[0]: row[1:] for row in cells}


def share(text):
    return float(re.match(r"[0-9.]+", text).group())


def some(rng, num=6):
    return rng.uniform(1, 25, (num, 8, 10)).clip(0, FAR_M)


def test_the_error_is_found_at_the_distance_where_it_is():
    truth = some(np.random.default_rng(0))
    depth = truth + 2.0 * ((truth >= 5) & (truth < 10))
    found = rows(table_of(seen(truth, truth), seen(depth, truth), (0.0, FAR_M)))
    assert found["5 to 10 m"][1:] == ["2.00 m", "100.0%"]
    assert found["2 to 5 m"][1:] == ["0.00 m", "0.0%"]
    assert found["training frames"][1] == "0.00 m" != found["held-out frames"][1]


def test_the_bins_hold_every_measured_pixel_once():
    rng = np.random.default_rng(1)
    truth = np.where(rng.random((6, 8, 10)) < 0.2, 0.0, some(rng))
    found = rows(table_of(seen(truth, truth), seen(truth + 1.0, truth), (0.0, FAR_M)))
    bins = [row for name, row in found.items() if re.match(r"[0-9.]+ to|beyond", name)]
    assert len(bins) == 5
    for column in (0, 2):
        assert abs(sum(share(row[column]) for row in bins) - 100) < 0.3


def test_a_scale_that_is_wrong_in_each_frame_leaves_no_error_of_shape():
    truth = np.random.default_rng(2).uniform(1, 9, (3, 8, 10))
    wrong = seen(truth * np.array([0.5, 1.0, 2.0])[:, None, None], truth)
    np.testing.assert_allclose(rescaled(wrong, FAR_M).depth_m, truth, rtol=1e-5)
    found = rows(table_of(wrong, wrong, (0.0, FAR_M)))
    assert found["the same, with each frame's scale"][1] == "0.00 m" != found["nearer than 20 m"][1]


def test_frames_before_something_near_are_a_kind_of_their_own():
    truth = np.full((6, 8, 10), 12.0)
    truth[2, :2] = 1.0
    kinds = kinds_of_frame(seen(truth, truth), FAR_M)
    near = next(chosen for name, chosen in kinds.items() if "nearer" in name)
    assert near.tolist() == [False, False, True, False, False, False]


def test_thirds_by_brightness_are_of_equal_size_and_in_order():
    truth = np.full((6, 8, 10), 12.0)
    kinds = kinds_of_frame(seen(truth, truth, np.array([5, 0, 4, 1, 3, 2.0])), FAR_M)
    (darkest,) = (chosen for name, chosen in kinds.items() if name.startswith("darkest"))
    (brightest,) = (chosen for name, chosen in kinds.items() if name.startswith("brightest"))
    assert darkest.tolist() == [False, True, False, True, False, False]
    assert brightest.tolist() == [True, False, True, False, False, False]
