"""The losses, by name. A loss is one file and one line in `LOSSES`.

Every loss takes depth and truth in metres, float32 (N, 1, h, w), and valid, bool of the same shape: pixels that are not
valid weigh nothing. It gives a scalar that is smaller for better depth.
"""

from collections.abc import Callable

from torch import Tensor

from mde_runtime.errors import UsageError
from mde_runtime.numbers import real, shown
from mde_train.losses.berhu import berhu
from mde_train.losses.gradient import gradient
from mde_train.losses.l1 import l1
from mde_train.losses.l1_ssim import l1_ssim
from mde_train.losses.mse import mse
from mde_train.losses.rmse import rmse
from mde_train.losses.seed import seed
from mde_train.losses.silog import silog
from mde_train.losses.ssim import ssim

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]

LOSSES: dict[str, Loss] = {
    "seed": seed,
    "rmse": rmse,
    "l1": l1,
    "ssim": ssim,
    "mse": mse,
    "l1-ssim": l1_ssim,
    "silog": silog,
    "berhu": berhu,
    "gradient": gradient,
}


def loss_from_text(text: str) -> Loss:
    """The weighted sum that a recipe writes as `rmse + 0.5 l1 + ssim`. Raises UsageError for what it cannot read."""
    terms = [_term(part, text) for part in text.split("+")]

    def total(depth_m: Tensor, truth_m: Tensor, valid: Tensor) -> Tensor:
        first, *others = (weight * loss(depth_m, truth_m, valid) for weight, loss in terms)
        for other in others:
            first = first + other
        return first

    return total


def _term(part: str, text: str) -> tuple[float, Loss]:
    *weight, name = part.split() or [""]
    try:
        (factor,) = (real(number) for number in weight or ["1"])
        if factor <= 0:  # would train away from the truth, or not at all
            raise ValueError(f"the weight {factor:g} is not more than 0")
        return factor, LOSSES[name]
    except (ValueError, KeyError) as error:
        raise UsageError(
            f"loss {shown(text)}: {shown(part.strip())} is not a loss with an optional weight above 0, as in "
            "`rmse + 0.5 l1`; "
            f"the losses are {', '.join(LOSSES)}"
        ) from error
