"""A recipe says how a model is trained. Frozen data: shown by `--show`, changed by `--set`, kept in the checkpoint."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from mde_runtime import records
from mde_runtime.errors import BadInputError, UsageError
from mde_runtime.numbers import MOST_REAL, MOST_WHOLE, shown
from mde_runtime.protocols import AUTO
from mde_runtime.settings import apply
from mde_train.schedules import SCHEDULES

BestBy = Literal["ssim - rmse_m", "-rmse_m", "auto"]
BEST_BY: dict[str, BestBy] = {"seed": "ssim - rmse_m", "seed-raw": "ssim - rmse_m"}  # by other protocols: -rmse_m
LENGTH = ("epochs", "max_minutes")  # what a run that goes on may change


class Range(NamedTuple):
    """The values that a number may have."""

    least: float
    most: float
    in_words: str


SHARE = Range(0, 1, "0 to 1")
NOT_NEGATIVE = Range(0, MOST_REAL, "0 or more")
POSITIVE = Range(math.ulp(0.0), MOST_REAL, "more than 0")
AT_LEAST_1 = Range(1, MOST_WHOLE, f"1 to {MOST_WHOLE}")

AUGMENT_RANGES = {
    "flip": SHARE,
    "zoom": AT_LEAST_1,
    "gamma": NOT_NEGATIVE,
    "contrast": SHARE,
    "brightness": SHARE,
    "colour": SHARE,
    "haze": NOT_NEGATIVE,
    "saturation": NOT_NEGATIVE,
    "mix": SHARE,
}
RECIPE_RANGES = {
    "batch_size": AT_LEAST_1,
    "epochs": AT_LEAST_1,
    "max_minutes": POSITIVE,
    "lr": NOT_NEGATIVE,
    "weight_decay": NOT_NEGATIVE,
    "clip_gradient": POSITIVE,
    "ema_decay": SHARE,
    "evaluate_every_epochs": AT_LEAST_1,
    "picture_every_steps": AT_LEAST_1,
    "patience": NOT_NEGATIVE,
    "seed": Range(0, 2**32 - 1, "0 to 4294967295"),  # numpy's own
}


def _check_ranges(where: str, record: object, ranges: Mapping[str, Range]) -> None:
    for key, allowed in ranges.items():
        value = getattr(record, key)
        if value is not None and not allowed.least <= value <= allowed.most:
            raise BadInputError(f"{where}.{key}: {value} is out of range; use {allowed.in_words}")


@dataclass(frozen=True)
class Augment:
    """How far training frames are changed. 0 (zoom: 1) leaves that alone."""

    flip: float  # the share of frames that are mirrored
    zoom: float  # the largest magnification of 7 frames in 10; through a longer lens everything is that much nearer
    gamma: float  # exponents from 1 / (1 + gamma) to 1 + gamma
    contrast: float  # factors about the frame's mean, from 1 - contrast to 1 + contrast
    brightness: float  # factors from 1 - brightness to 1 + brightness
    colour: float  # factors for each colour, from 1 - colour to 1 + colour
    haze: float  # the largest density of added haze, per metre
    saturation: float  # distances from grey times 1 / (1 + saturation) to 1 + saturation
    mix: float  # the share of frames that another frame's nearer things are put into

    def __post_init__(self) -> None:
        _check_ranges("recipe.augment", self, AUGMENT_RANGES)


NOTHING = Augment(
    flip=0.0, zoom=1.0, gamma=0.0, contrast=0.0, brightness=0.0, colour=0.0, haze=0.0, saturation=0.0, mix=0.0
)


@dataclass(frozen=True)
class Recipe:
    """Every hyperparameter of a training run."""

    model: str  # a name of mde_train.models.MODELS
    model_options: dict[str, Any]  # what the model's `build` takes: JSON values
    loss: str  # names of mde_train.losses.LOSSES with weights before them: `rmse + 0.5 l1 + ssim`
    sky: Literal["clip", "mask"]  # truth at far and beyond: `clip` counts it as far, `mask` leaves it out
    augment: Augment
    batch_size: int  # frames a step, over all devices
    epochs: int  # times that every frame is seen
    max_minutes: float | None  # end sooner, with the schedule finished; null: never
    optimizer: Literal["adam", "adamw"]
    lr: float  # learning rate; the schedule's factor is applied to it
    weight_decay: float
    schedule: str  # of the learning rate: a name of mde_train.schedules.SCHEDULES
    clip_gradient: float | None  # largest norm of the gradient; null: any
    ema_decay: float | None  # of the average of weights that is judged and kept; null: the weights themselves
    precision: Literal["fp32", "bf16"]  # of training: bf16 is autocast; judging is always fp32
    evaluate_every_epochs: int
    picture_every_steps: int
    protocol: (
        str  # how accuracy is averaged: a name of mde_runtime.protocols.PROTOCOLS; auto: as the data's layout does
    )
    best_by: Literal[
        "ssim - rmse_m", "-rmse_m", "auto"
    ]  # the best checkpoint is that of the largest; auto: of protocol
    patience: int | None  # evaluations without a better one before training stops; null: it never does
    holdout: str  # training frames FIRST..LAST (names) to judge on instead of the held-out split; empty: that split
    seed: int  # of everything random

    def __post_init__(self) -> None:
        _check_ranges("recipe", self, RECIPE_RANGES)
        if self.schedule not in SCHEDULES:
            raise BadInputError(
                f"recipe.schedule: {self.schedule!r} is not one of {', '.join(SCHEDULES)}; write one of them"
            )


def with_settings(recipe: Recipe, settings: Sequence[str]) -> Recipe:
    """The recipe with `key=value` changes, e.g. `lr=1e-3`, `augment.zoom=1.5`, `loss=seed`. Values are JSON or text.

    Raises UsageError for a key that does not exist, BadInputError for a value of the wrong type or out of its range.
    """
    changed = records.to_json(recipe)
    apply(changed, settings, growing=("model_options",))
    return records.from_json(Recipe, changed, "recipe")


def with_protocol(recipe: Recipe, protocol: str) -> Recipe:
    """The recipe with its two `auto` settled; protocol: of the data set."""
    protocol = protocol if recipe.protocol == AUTO else recipe.protocol
    best_by: BestBy = BEST_BY.get(protocol, "-rmse_m") if recipe.best_by == AUTO else recipe.best_by
    return replace(recipe, protocol=protocol, best_by=best_by)


def with_length(recipe: Recipe, settings: Sequence[str]) -> Recipe:
    """The recipe of a run that goes on, made longer or shorter by `epochs=60` or `max_minutes=90`.

    Raises UsageError for any other setting: the steps that are done were not made by it; else as `with_settings`.
    """
    for setting in settings:
        if setting.partition("=")[0].strip() not in LENGTH:
            keys = ", ".join(LENGTH)
            raise UsageError(f"--set {shown(setting)}: a resumed run can only be made longer or shorter, with {keys}")
    return with_settings(recipe, settings)
