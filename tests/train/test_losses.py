import numpy as np
import pytest
import torch

from mde_runtime import metrics
from mde_runtime.errors import UsageError
from mde_train.losses import LOSSES, loss_from_text
from mde_train.losses.ssim import ssim_map


def maps(seed: int = 0, size: tuple[int, ...] = (2, 1, 24, 32)) -> torch.Tensor:
    return 1 + 18 * torch.rand(size, generator=torch.Generator().manual_seed(seed))


EVERYWHERE = torch.ones(2, 1, 24, 32, dtype=torch.bool)


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_smaller_for_better_depth(name: str):
    truth = maps()
    errors = maps(1) - 10
    worse, better = (LOSSES[name](truth + share * errors, truth, EVERYWHERE) for share in (0.2, 0.02))
    assert better < worse


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_does_not_see_pixels_that_are_not_valid(name: str):
    truth, depth, valid = maps(), maps(1), EVERYWHERE.clone()
    valid[..., :10] = False
    altered_truth, altered_depth = truth.clone(), depth.clone()
    altered_truth[..., :10], altered_depth[..., :10] = 0.0, 7.0
    clean = LOSSES[name](depth.where(valid, truth), truth, valid)
    # 1e-6: the sums run over other zeros. SSIM's windows reach over the border and see the masked truth: nearly equal.
    tolerance = 0.1 if "ssim" in name or name == "seed" else 1e-6
    assert LOSSES[name](altered_depth, altered_truth, valid) == pytest.approx(clean.item(), rel=tolerance)


@pytest.mark.parametrize("name", LOSSES)
def test_a_pixel_that_is_not_valid_gets_no_gradient(name: str):
    depth, valid = maps(1).requires_grad_(), EVERYWHERE.clone()
    valid[..., :10] = False
    LOSSES[name](depth, maps(), valid).backward()
    assert (depth.grad[..., :10] == 0).all()
    assert (depth.grad[..., 10:] != 0).any()


@pytest.mark.parametrize("name", [name for name in LOSSES if name != "seed"])  # its root has no epsilon
def test_a_perfect_batch_has_a_finite_gradient(name: str):
    depth = maps().requires_grad_()
    LOSSES[name](depth, maps(), EVERYWHERE).backward()
    assert torch.isfinite(depth.grad).all()


@pytest.mark.parametrize("name", [name for name in LOSSES if name != "seed"])  # its root has no epsilon
def test_a_batch_without_any_valid_pixel_is_no_nan(name: str):
    depth = maps(1).requires_grad_()
    loss = LOSSES[name](depth, maps(), ~EVERYWHERE)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(depth.grad).all()


@pytest.mark.parametrize("data_range_m", [1.0, 20.0])
def test_the_losses_ssim_is_the_metrics(data_range_m: float):
    x, y = maps(), maps(1)
    expected = metrics.ssim_map(x.numpy(), y.numpy(), data_range_m)
    # float32 rounds E[x²] - E[x]² at 400 m² to 1e-4, the size of the constants
    np.testing.assert_allclose(ssim_map(x, y, data_range_m).numpy(), expected, atol=2e-3)


def test_the_seeds_loss_is_rmse_over_the_batch_plus_dissimilarity():
    depth, truth = maps(1), maps()
    expected = metrics.rmse(depth.numpy(), truth.numpy()) + 1 - metrics.ssim(depth.numpy(), truth.numpy(), 1.0)
    assert LOSSES["seed"](depth, truth, EVERYWHERE).item() == pytest.approx(expected, abs=1e-3)  # float32's SSIM


def test_silog_forgives_most_of_a_wrong_scale():
    truth = maps()
    assert LOSSES["silog"](truth * 1.2, truth, EVERYWHERE) < 0.4 * LOSSES["rmse"](
        truth.log() + np.log(1.2), truth.log(), EVERYWHERE
    )


def test_gradient_does_not_see_a_shift():
    truth = maps()
    assert LOSSES["gradient"](truth + 3.0, truth, EVERYWHERE) < 1e-5  # float32's rounding of the sum


def test_berhu_is_linear_for_small_and_square_for_large_errors():
    error = torch.tensor([0.0, 1.0, 10.0]).view(1, 1, 1, 3)  # c = 2
    valid = torch.ones_like(error, dtype=torch.bool)
    assert LOSSES["berhu"](error, torch.zeros_like(error), valid).item() == pytest.approx((0 + 1 + 104 / 4) / 3)


def test_a_recipes_sum_is_weighted():
    depth, truth = maps(1), maps()
    parts = [LOSSES[name](depth, truth, EVERYWHERE) for name in ("rmse", "l1")]
    total = loss_from_text("rmse + 0.5 l1")(depth, truth, EVERYWHERE)
    assert total.item() == pytest.approx((parts[0] + 0.5 * parts[1]).item())


@pytest.mark.parametrize(
    "text", ["", "rmsee", "x rmse", "1 2 rmse", "rmse +", "-1 rmse", "0 rmse", "nan rmse", "inf l1", f"{'9' * 5000} l1"]
)
def test_a_sum_that_cannot_be_read_is_answered_with_the_losses(text: str):
    with pytest.raises(UsageError, match="the losses are seed, rmse"):
        loss_from_text(text)
