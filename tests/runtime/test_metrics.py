import math

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from mde_runtime import BadInputError, metrics

# Two float64 implementations of one formula: the order of their sums differs, nothing else.
SAME_FORMULA = 1e-6


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    """Truth of a tilted, noisy plane and a depth near it, (40, 56), metres."""
    chance = np.random.default_rng(0)
    truth = np.linspace(4, 19, 40)[:, None] + chance.normal(0, 0.5, (40, 56))
    return truth + chance.normal(0, 0.3, truth.shape), truth


@pytest.mark.parametrize("data_range", [1.0, 20.0])
def test_ssim_equals_scikit_images_away_from_the_border(pair, data_range):
    _, theirs = structural_similarity(
        *pair, data_range=data_range, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
    )
    ours = metrics.ssim_map(*pair, data_range)
    inside = (slice(5, -5), slice(5, -5))  # half the window: beyond it the border is padded, by them with a reflection
    np.testing.assert_allclose(ours[inside], theirs[inside], atol=SAME_FORMULA)


def test_ssim_pads_with_zeros_at_the_border(pair):
    padded = [np.pad(values, 10) for values in pair]
    _, theirs = structural_similarity(
        *padded, data_range=20.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
    )
    np.testing.assert_allclose(metrics.ssim_map(*pair, 20.0), theirs[10:-10, 10:-10], atol=SAME_FORMULA)


def test_equal_maps_are_perfect(pair):
    _, truth = pair
    valid = np.ones(truth.shape, bool)
    assert metrics.ssim(truth, truth, 20.0) == pytest.approx(1.0)
    assert metrics.rmse(truth, truth) == metrics.bias(truth, truth) == metrics.abs_rel(truth, truth, valid) == 0
    assert metrics.delta1(truth, truth) == 1


def test_figures_of_a_small_case_worked_by_hand():
    depth, truth = np.array([[1.0, 3.0, 5.0]]), np.array([[2.0, 3.0, 4.0]])
    valid = np.array([[True, True, False]])
    assert metrics.rmse(depth, truth) == pytest.approx(math.sqrt(2 / 3))
    assert metrics.rmse(depth, truth, valid) == pytest.approx(math.sqrt(1 / 2))
    assert metrics.bias(depth, truth, valid) == pytest.approx(-0.5)
    assert metrics.abs_rel(depth, truth, valid) == pytest.approx(0.25)
    assert metrics.delta1(depth, truth) == pytest.approx(1 / 3)  # 5/4 is 1.25 and not below it


def test_a_depth_of_zero_is_wrong_and_not_nan():
    assert metrics.delta1(np.zeros((2, 2)), np.ones((2, 2))) == 0


@pytest.mark.parametrize("figure", [metrics.rmse, metrics.bias, metrics.abs_rel, metrics.delta1])
def test_no_valid_pixel_is_an_error_and_no_perfect_score(pair, figure):
    with pytest.raises(BadInputError, match="no valid pixel"):
        figure(*pair, np.zeros(pair[0].shape, bool))


def test_a_truth_of_zero_is_refused_by_abs_rel():
    with pytest.raises(BadInputError, match="mask it"):
        metrics.abs_rel(np.ones((1, 2)), np.array([[0.0, 1.0]]), np.ones((1, 2), bool))
