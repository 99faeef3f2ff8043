"""Learning rates as functions of where training stands: nothing to save, so a resumed run cannot differ."""

import math
from collections.abc import Callable
from typing import NamedTuple


class Pace(NamedTuple):
    """What the optimizer is set to for one step."""

    lr_factor: float  # times the recipe's lr
    beta1: float


Schedule = Callable[[int, float], Pace]
"""From the step (from 0) and the progress (0 to 1, by steps or by the time budget, whichever is further)."""

BETA1 = 0.9
CYCLE_PEAK_FACTOR, CYCLE_UP_STEPS, CYCLE_DOWN_STEPS = 5.0, 1000, 2000  # lr 0.001 to 0.005, as published
WARM_UP_SHARE, LAST_FACTOR = 0.03, 0.01
RISE_SHARE, FIRST_FACTOR = 0.3, 0.04


def constant(step: int, progress: float) -> Pace:  # noqa: ARG001  # a schedule's signature
    """The recipe's lr throughout."""
    return Pace(1.0, BETA1)


def cyclic(step: int, progress: float) -> Pace:  # noqa: ARG001  # a schedule's signature
    """`resnet34-seed`'s: from lr to 5 lr in 1000 steps and back in 2000, each peak half as far above lr.

    beta1 goes from 0.9 to 0.8 and back meanwhile. Equals torch's CyclicLR(mode="triangular2") for Adam.
    """
    cycle, within = divmod(step, CYCLE_UP_STEPS + CYCLE_DOWN_STEPS)
    rising, falling = within / CYCLE_UP_STEPS, 1 - (within - CYCLE_UP_STEPS) / CYCLE_DOWN_STEPS
    height = min(rising, falling) / 2**cycle
    return Pace(1 + (CYCLE_PEAK_FACTOR - 1) * height, BETA1 - 0.1 * height)


def cosine(step: int, progress: float) -> Pace:  # noqa: ARG001  # a schedule's signature
    """A short rise, then half a cosine from lr down to a hundredth of it."""
    if progress < WARM_UP_SHARE:
        return Pace(max(LAST_FACTOR, progress / WARM_UP_SHARE), BETA1)
    return Pace(_half_cosine(1.0, LAST_FACTOR, (progress - WARM_UP_SHARE) / (1 - WARM_UP_SHARE)), BETA1)


def one_cycle(step: int, progress: float) -> Pace:  # noqa: ARG001  # a schedule's signature
    """Half a cosine from lr / 25 up to lr over the first 30 %, then one down to almost 0; beta1 the other way round.

    Source: Smith and Topin, arXiv 1708.07120, 2017.
    """
    if progress < RISE_SHARE:
        share = progress / RISE_SHARE
        return Pace(_half_cosine(FIRST_FACTOR, 1.0, share), _half_cosine(0.95, 0.85, share))
    share = (progress - RISE_SHARE) / (1 - RISE_SHARE)
    return Pace(_half_cosine(1.0, 1e-4, share), _half_cosine(0.85, 0.95, share))


def _half_cosine(begin: float, end: float, share: float) -> float:
    return end + (begin - end) * (1 + math.cos(math.pi * min(share, 1.0))) / 2


SCHEDULES: dict[str, Schedule] = {"constant": constant, "cyclic": cyclic, "cosine": cosine, "one-cycle": one_cycle}
