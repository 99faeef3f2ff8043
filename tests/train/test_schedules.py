import pytest
import torch

from mde_train.schedules import SCHEDULES


def test_cyclic_is_torchs_triangular2_for_adam():
    optimizer = torch.optim.Adam([torch.zeros(1, requires_grad=True)], lr=0.001)
    reference = torch.optim.lr_scheduler.CyclicLR(
        optimizer, 0.001, 0.005, step_size_up=1000, step_size_down=2000, mode="triangular2"
    )
    for step in range(7001):
        pace, group = SCHEDULES["cyclic"](step, 0.0), optimizer.param_groups[0]
        assert 0.001 * pace.lr_factor == pytest.approx(group["lr"], rel=1e-9)
        assert pace.beta1 == pytest.approx(group["betas"][0], rel=1e-9)
        optimizer.step()
        reference.step()


@pytest.mark.parametrize(
    ("step", "lr"),
    [(0, 0.001), (500, 0.003), (1000, 0.005), (2000, 0.003), (3000, 0.001), (4000, 0.003), (7000, 0.002)],
)
def test_cyclic_has_the_published_values(step: int, lr: float):
    assert 0.001 * SCHEDULES["cyclic"](step, 0.0).lr_factor == pytest.approx(lr)


@pytest.mark.parametrize("name", ["cosine", "one-cycle"])
def test_a_schedule_by_progress_rises_once_then_falls_to_almost_nothing(name: str):
    factors = [SCHEDULES[name](0, percent / 100).lr_factor for percent in range(101)]
    top = factors.index(max(factors))
    assert factors[: top + 1] == sorted(factors[: top + 1])
    assert factors[top:] == sorted(factors[top:], reverse=True)
    assert max(factors) == pytest.approx(1.0, abs=0.01)
    assert factors[-1] <= 0.011
