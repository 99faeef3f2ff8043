"""The worth of each idea of a recipe, on a stretch held out of the training frames; the validation split is not read.

    python -m lab.ablations DATA --holdout 1700..1899 --out RUNS --epochs 2

Every variant is `fast` from the sample's weights, but for the one thing that it names. Each trains for the same number
of steps, some on frames that `lab.ideas.frames` makes of DATA or renders. An interrupted run is resumed, and a finished
one is not repeated. Four things that need no training follow: the flipped picture beside the picture (`flip`), the mean
of the weights of all runs of `whole` (`soup`), and the sample itself without training, as it is (`sample`) and with the
statistics of its BatchNorms taken from the training frames, whose depth is not read (`sample, statistics`: AdaBN of Li
et al., 2017).
"""

import copy
import csv
import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import click
import numpy as np
import torch
from torch import Tensor, nn

from lab.ideas import frames as ideas
from lab.runs import train_once
from mde_bench.report.markdown import markdown_table
from mde_runtime import files, records
from mde_runtime.command import PATH, Command, Whole, say
from mde_runtime.contract import Contract
from mde_runtime.evenly_spaced import evenly_spaced
from mde_train.checkpoint import read_checkpoint
from mde_train.data import FrameArrays
from mde_train.data.layouts.folders import matches
from mde_train.depth_model import network_input
from mde_train.evaluation import BATCH_SIZE, evaluate
from mde_train.observer import BEST
from mde_train.recipe import NOTHING
from mde_train.recipes import recipe_named
from mde_train.training_data import Data, load_data

SAMPLE = Path(__file__).resolve().parent.parent / "samples" / "weights.ckpt"
FROM_SAMPLE: tuple[object, ...] = ("--init", SAMPLE)
BODY_FROM_SAMPLE: tuple[object, ...] = ("--weights", SAMPLE)  # of the laboratory's networks
IMAGENET = "imagenet"
TEACHER = Path("mobilenetv2-0/best.ckpt")  # where no other is given
SILOG = "loss=rmse + 0.5 l1 + ssim + 2 silog"
NO_COLOUR = tuple(f"augment.{name}=0" for name in ("gamma", "contrast", "brightness", "colour", "haze", "saturation"))
FLIP_ONLY = tuple(f"augment.{name}={value}" for name, value in asdict(NOTHING).items() if name != "flip")
WHOLE = "whole"
PROTOCOL = "seed"
NUM_SETTLING = 512  # frames, evenly spaced, that BatchNorms' statistics are taken from


@dataclass(frozen=True)
class Variant:
    """One thing that differs from `whole`. Paths are absolute or below the folder of runs."""

    idea: str
    settings: tuple[str, ...] = ()  # of --set
    recipe: str = "fast"
    start: tuple[object, ...] = FROM_SAMPLE  # options for the weights
    make: ideas.Maker | None = None  # of the frames to train on; None: the data set's own
    teacher: Path = SAMPLE


def _last_epoch(idea: str, *settings: str) -> Variant:
    """The end of a long training: one more epoch of a network that has had many, at a low learning rate."""
    return Variant(idea, ("lr=0.0003", *settings), recipe="mobilenetv2-skip", start=("--init", TEACHER))


VARIANTS = {
    WHOLE: Variant("the recipe, from weights trained on rendered scenes"),
    "random-start": Variant("from random weights", start=()),
    "seed-loss": Variant("the published loss", ("loss=seed",)),
    "rmse": Variant("RMSE alone", ("loss=rmse",)),
    "silog": Variant("and scale-invariant error of log depth", (SILOG,)),
    "log-l1": Variant("and the error of log depth", ("loss=rmse + 0.5 l1 + ssim + 2 log-l1",)),
    "gradient": Variant("and the gradient's error, for edges", ("loss=rmse + 0.5 l1 + ssim + gradient",)),
    "bins": Variant("32 adaptive bins in place of the head", ("model=fast-bins",), start=BODY_FROM_SAMPLE),
    "finer": Variant("pictures enlarged to 180x320 px", ("model=fast-finer",), start=BODY_FROM_SAMPLE),
    "no-mix": Variant("no nearer parts of other frames put in", ("augment.mix=0",)),
    "no-zoom": Variant("no zoom", ("augment.zoom=1",)),
    "no-colour": Variant("no change of light and colour", NO_COLOUR),
    "flip-only": Variant("mirrored frames as the only augmentation", FLIP_ONLY),
    "rows-moved": Variant("zoomed about any row", ("augment.zoom=1",), make=ideas.with_rows_moved),
    "cut-depth": Variant("depth in some columns of the picture", make=ideas.with_depth_cut_in),
    "mobilenetv2": Variant(
        "an encoder that has seen photographs", recipe="mobilenetv2-skip", start=("--weights", IMAGENET)
    ),
    "mobilenetv2-random": Variant(
        "the same encoder from random weights", recipe="mobilenetv2-skip", start=("--weights", "none")
    ),
    "distilled": Variant(
        "the mean of truth and a better network's depth in place of truth", make=ideas.distilled, teacher=TEACHER
    ),
    "scenes": Variant("new rendered scenes in place of the frames", make=ideas.rendered),
    "scenes-styled": Variant("these with the frames' lowest frequencies", make=ideas.styled),
    "self-labelled": Variant("the sample's own depth in place of the true one", make=ideas.self_labelled),
    "last-whole": _last_epoch("the teacher after another epoch"),
    "last-silog": _last_epoch("and scale-invariant error of log depth", SILOG),
    "last-no-colour": _last_epoch("without change of light and colour", *NO_COLOUR),
    "last-flip-only": _last_epoch("with mirrored frames as the only augmentation", *FLIP_ONLY),
    "more-scenes": Variant("the recipe, from `scenes`", start=("--init", Path("scenes-0/best.ckpt"))),
    "more-styled": Variant("the recipe, from `scenes-styled`", start=("--init", Path("scenes-styled-0/best.ckpt"))),
}
UNTRAINED = {
    "flip": "the mean over the picture and its mirror image, after `whole`",
    "soup": "the mean of the weights of all runs of `whole`",
    "sample": "not trained on these frames at all",
    "sample, statistics": "as `sample`, BatchNorm's statistics from the frames without their depth",
}


@dataclass(frozen=True)
class Figures:
    """A run's figures on the frames held out."""

    variant: str
    seed: int
    rmse_m: float
    ssim: float
    minutes: float


@click.command(cls=Command)
@click.argument("data", type=PATH)
@click.option("--out", type=PATH, required=True, help="Folder for the runs and the table.")
@click.option("--holdout", required=True, metavar="FIRST..LAST", help="Training frames to judge on.")
@click.option("--epochs", type=Whole(1), default=2, show_default=True, help="Of every run.")
@click.option("--seeds", type=Whole(1), default=1, show_default=True, help="Runs of each variant.")
@click.option("--variant", "variants", type=click.Choice(tuple(VARIANTS)), multiple=True, help="These alone.")
@click.option(
    "--imagenet", default=IMAGENET, metavar="FILE|PACKAGE", help="MobileNetV2's weights.  [default: download]"
)
@click.option(
    "--teacher",
    type=PATH,
    help="Checkpoint that `distilled` learns from and `last-...` begin with.  [default: that of mobilenetv2]",
)
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change all runs.")
def main(
    data: Path,
    out: Path,
    holdout: str,
    epochs: int,
    seeds: int,
    variants: tuple[str, ...],
    imagenet: str,
    teacher: Path | None,
    settings: tuple[str, ...],
) -> None:
    """Train each variant on DATA, judge it on the holdout, and print the table."""
    common = (f"epochs={epochs}", *settings, f"evaluate_every_epochs={epochs}", f"protocol={PROTOCOL}")
    own = functools.cache(lambda: load_data(data, replace(recipe_named("fast"), holdout=holdout)))
    instead: dict[object, object] = {IMAGENET: imagenet, TEACHER: (teacher or out / TEACHER).absolute()}
    found: list[Figures] = []
    for seed in range(seeds):  # outside, so that a run that is cut off has compared all variants
        for name in variants or VARIANTS:
            run = out / f"{name}-{seed}"
            if not (run / BEST).exists():  # it is written once, when the run is judged at its end
                _train(VARIANTS[name], run, data, own, holdout, instead, (*common, f"seed={seed}"))
            found.append(figures_of(run, name, seed))
            _write(out, found)
    if wholes := sorted(out.glob(f"{WHOLE}-*/{BEST}")):
        found += _untrained(own(), wholes)
        _write(out, found)
    click.echo(table_of(found))


def _train(
    variant: Variant,
    run: Path,
    data: Path,
    own: Callable[[], Data],
    holdout: str,
    instead: Mapping[object, object],
    settings: Sequence[str],
) -> None:
    """Train a variant on DATA, or on the frames that it makes of them and that are judged by the same.

    instead: what takes the place of words and paths of `VARIANTS`.
    """
    words = [instead.get(word, word) for word in variant.start]
    start = [run.parent / word if isinstance(word, Path) else word for word in words]
    held = f"holdout={holdout}"
    if variant.make:
        frames = ideas.Given(own().train, run.parent / str(instead.get(variant.teacher, variant.teacher)))
        data, held = run.with_name(f"{run.name}-data"), "holdout="
        if not matches(data):
            say(f"{data}: making its frames")
            ideas.write(data, variant.make(frames), own().judged)
    train_once(variant.recipe, data, run, start, (*settings, held, *variant.settings), command="lab-train")


def _write(out: Path, found: Sequence[Figures]) -> None:
    files.write_text(out / "ablations.json", records.dumps(found))
    files.write_text(out / "table.md", table_of(found))


def figures_of(run: Path, variant: str, seed: int) -> Figures:
    """The last evaluation in a run's curves.csv."""
    with (run / "curves.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    last = {row["name"]: float(row["value"]) for row in rows}
    return Figures(variant, seed, last["val_rmse_m"], last["val_ssim"], float(rows[-1]["minutes"]))


def _untrained(frames: Data, wholes: Sequence[Path]) -> list[Figures]:
    """The figures of everything that costs no training."""
    checkpoints, sample = [read_checkpoint(path) for path in wholes], read_checkpoint(SAMPLE)
    networks: dict[str, nn.Module] = {"flip": Flipped(checkpoints[0].network)}
    if len(checkpoints) > 1:
        networks["soup"] = soup_of([checkpoint.network for checkpoint in checkpoints])
    networks["sample"] = sample.network
    networks["sample, statistics"] = settled(sample.network, frames.contract, frames.train)
    found = []
    for name, network in networks.items():
        values = evaluate(network, frames.contract, frames.judged, PROTOCOL).values
        found.append(Figures(name, 0, values["rmse_m"], values["ssim"], 0.0))
        say(f"{name}: rmse_m {values['rmse_m']:.4f}, ssim {values['ssim']:.4f}")
    return found


class Flipped(nn.Module):
    """The mean of a network's answers to a picture and to its mirror image."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, h, w) to (N, 1, h, w), as the network."""
        mean: Tensor = (self.network(x) + self.network(x.flip(-1)).flip(-1)) / 2
        return mean


def soup_of(networks: Sequence[nn.Module]) -> nn.Module:
    """A network with the mean of the weights of several that began from the same ones."""
    states = [network.state_dict() for network in networks]
    mean = {key: torch.stack([state[key].float() for state in states]).mean(0) for key in states[0]}
    soup = copy.deepcopy(networks[0])
    soup.load_state_dict(mean)
    return soup


@torch.no_grad()
def settled(network: nn.Module, contract: Contract, frames: FrameArrays) -> nn.Module:
    """A copy whose BatchNorms have their statistics from these frames; their depth is not read."""
    network = copy.deepcopy(network)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over all batches
        norm.train()
    picked = evenly_spaced(len(frames), NUM_SETTLING)
    for start in range(0, len(picked), BATCH_SIZE):
        network(network_input(torch.from_numpy(frames.frames[picked[start : start + BATCH_SIZE]]), contract))
    return network.eval()


def table_of(found: Sequence[Figures]) -> str:
    """A row for each variant: the mean over its seeds, how far apart they are, and what it changed over `whole`."""
    runs: dict[str, list[Figures]] = {}
    for figures in found:
        runs.setdefault(figures.variant, []).append(figures)
    whole = runs.get(WHOLE)
    rows = []
    for name, of_seeds in runs.items():
        rmse_m, ssim = (np.array([getattr(it, key) for it in of_seeds]) for key in ("rmse_m", "ssim"))
        change = rmse_m.mean() - np.mean([it.rmse_m for it in whole]) if whole and name != WHOLE else None
        rows.append(
            (
                f"`{name}`",
                VARIANTS[name].idea if name in VARIANTS else UNTRAINED[name],
                str(len(of_seeds)),
                f"{np.mean([it.minutes for it in of_seeds]):.0f}",
                f"{rmse_m.mean():.3f} m" + (f" ± {np.ptp(rmse_m) / 2:.3f}" if len(rmse_m) > 1 else ""),
                f"{ssim.mean():.3f}" + (f" ± {np.ptp(ssim) / 2:.3f}" if len(ssim) > 1 else ""),
                "" if change is None else f"{change:+.3f} m",
            )
        )
    return markdown_table(("variant", "one thing", "seeds", "min", "RMSE", "SSIM", "RMSE over `whole`"), rows)


if __name__ == "__main__":
    sys.exit(main())
