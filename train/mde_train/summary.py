"""The end of a run in three lines: its best figures, the mean image's beside them, and the next command."""

import csv
import shlex
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mde_runtime.protocols import open_protocol
from mde_train.data import FrameArrays
from mde_train.data.stats import farthest_m, mean_image
from mde_train.evaluation import score_of
from mde_train.recipe import Recipe
from mde_train.training_data import Data

SHOWN = ("rmse_m", "ssim", "abs_rel", "delta1")
NO_BETTER = "the network is no better than that yet: train longer, with --resume --set max_minutes=... or epochs=..."
JUDGED = "val_"  # begins the names of an evaluation's figures in curves.csv


def summary(run: Path, recipe: Recipe, data: Data, steps_per_epoch: int) -> list[str]:
    """Lines for a person. Raises nothing for a run without an evaluation: it has no figures."""
    evaluations = _evaluations(run / "curves.csv")
    next_line = f"next: mde-export {shlex.quote(str(run / 'best.ckpt'))} --fp16 -o {shlex.quote(f'{run.name}.mde')}"
    if not evaluations:
        return [next_line]
    best = max(evaluations, key=lambda step: score_of(evaluations[step], recipe.best_by))
    guess = mean_image_figures(data, recipe.protocol)
    epoch, epochs = best / steps_per_epoch, max(evaluations) / steps_per_epoch
    is_better = score_of(evaluations[best], recipe.best_by) > score_of(guess, recipe.best_by)
    return [
        f"best: epoch {epoch:.1f} of {epochs:.1f}, {_in_words(evaluations[best])}",
        f"baseline, the mean of the training depths: {_in_words(guess)}",
        *([] if is_better else [NO_BETTER]),
        next_line,
    ]


def mean_image_figures(data: Data, protocol: str) -> dict[str, float]:
    """The figures of the mean training depth of each pixel; of one mean for all where the sizes differ."""
    guess_m = _mean_image(data.train, farthest_m(protocol))
    size = data.judged.depth_m.shape[1:]
    if guess_m.shape != size:
        guess_m = np.full(size, guess_m.mean())
    ends_m = data.contract.from_network.near_m, data.contract.from_network.far_m
    judge = open_protocol(protocol, data.contract.from_network.span_m)
    for depth_m, valid in zip(data.judged.depth_m, data.judged.valid, strict=True):
        judge.add(np.clip(guess_m, *ends_m), np.float32(depth_m * valid))
    return judge.result().values


def _mean_image(frames: FrameArrays, most_m: float) -> npt.NDArray[np.float64]:
    total_m, count = np.zeros(frames.depth_m.shape[1:]), np.zeros(frames.depth_m.shape[1:], np.int64)
    for depth_m, valid in zip(frames.depth_m, frames.valid, strict=True):
        total_m[valid] += np.minimum(depth_m[valid], most_m)
        count += valid
    return mean_image(total_m, count)


def _evaluations(curves: Path) -> dict[int, dict[str, float]]:
    """The figures of each evaluation by its step."""
    found: dict[int, dict[str, float]] = {}
    if curves.exists():
        with curves.open(newline="") as file:
            for row in csv.DictReader(file):
                if row["name"].startswith(JUDGED):
                    found.setdefault(int(row["step"]), {})[row["name"].removeprefix(JUDGED)] = float(row["value"])
    return found


def _in_words(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {values[name]:.3f}" for name in SHOWN if name in values)
