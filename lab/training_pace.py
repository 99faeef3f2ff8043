"""Images per second of `mde-train` against a plain PyTorch loop over the same batches and step, interleaved.

    python -m lab.training_pace DATA [--recipe fast] [--rounds 8] [--set KEY=VALUE]

Both train the same network by the same recipe on the same frames; mde-train's side is its whole loop, with curves, but
without evaluations, which a plain loop would need as well. A step is timed from one call of the optimizer to the next.
Each round times both, one after the other; what is given is the median step of each over all rounds, in wall time and
in the process's CPU time, and their ratio.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as mde-train; read when torch loads

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from mde_train.loop import train
from mde_train.models import build_model
from mde_train.recipe import Recipe, with_settings
from mde_train.recipes import recipe_named
from mde_train.training import Training
from mde_train.training_data import Data, TrainingFrames, load_data

NUM_STEPS, NUM_UNTIMED = 14, 2  # of a round; the first steps find their kernels

Clock = tuple[float, float]  # wall, CPU


def now() -> Clock:
    """Both clocks, seconds."""
    return time.perf_counter(), time.process_time()


def training(recipe: Recipe, data: Data) -> Training:
    """A run before its first step."""
    torch.manual_seed(0)
    network = build_model(recipe.model, **recipe.model_options).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it
    return Training(network, data.contract, recipe, TrainingFrames(data.train, recipe.batch_size, recipe.seed))


def plain_loop(recipe: Recipe, data: Data) -> None:
    """A loop that anybody would write."""
    run = training(recipe, data)
    network, optimizer = run.network.train(), run.optimizer
    for step in range(NUM_STEPS):
        batch = run.frames.batch(step, recipe.augment)
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.precision == "bf16"):
            loss = run.loss(network, batch)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own
        if recipe.clip_gradient:
            torch.nn.utils.clip_grad_norm_(network.parameters(), recipe.clip_gradient)
        optimizer.step()
        if run.average:
            run.average.follow(network, step)


def mde_train(recipe: Recipe, data: Data) -> None:
    """The loop of `mde-train`."""
    with tempfile.TemporaryDirectory() as folder:
        train(training(recipe, data), data, Path(folder))


def steps(loop: Callable[[Recipe, Data], None], recipe: Recipe, data: Data) -> list[Clock]:
    """How long each step of a loop took, without the first ones."""
    ends: list[Clock] = []
    hook = register_optimizer_step_post_hook(lambda *_: ends.append(now()))
    try:
        loop(recipe, data)
    finally:
        hook.remove()
    return [(b[0] - a[0], b[1] - a[1]) for a, b in zip(ends[NUM_UNTIMED - 1 :], ends[NUM_UNTIMED:], strict=False)]


def main() -> None:
    """Measure, and print a line a clock."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--recipe", default="fast")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--set", action="append", default=[], dest="settings")
    given = parser.parse_args()
    recipe = with_settings(recipe_named(given.recipe), [*given.settings, "epochs=1", "max_minutes=null"])
    data = load_data(given.data, recipe, most=NUM_STEPS * recipe.batch_size)
    taken: dict[str, list[Clock]] = {"mde-train": [], "plain loop": []}
    for _ in range(given.rounds):
        taken["mde-train"] += steps(mde_train, recipe, data)
        taken["plain loop"] += steps(plain_loop, recipe, data)
    for which, clock in enumerate(("wall", "CPU")):
        ours, plain = (recipe.batch_size / median(step[which] for step in side) for side in taken.values())
        sys.stdout.write(
            f"{clock} time: mde-train {ours:.2f} images/s, plain loop {plain:.2f}, ratio {ours / plain:.3f} "
            f"({len(taken['mde-train'])} steps each)\n"
        )


if __name__ == "__main__":
    main()
