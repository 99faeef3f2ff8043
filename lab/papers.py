"""The four networks of the NYU slides: their table and their loss curves.

    python -m lab.papers DATA --out RUNS --minutes 30

DATA is the real NYU Depth V2, or rendered rooms of its size and angle for those who cannot have it:

    mde-data synth DATA --frames 1000 --size 480x640 --focal-px 519 --scenes rooms

Each network trains by its recipe for the minutes given; a run that was cut off goes on, and one that is over is not
repeated. Frames are judged as the field does (truth in 0 to 10 m, Eigen's crop). The slides' AbsRel of 10^4 to 10^6
came of pixels without a measurement, divided by nearly zero instead of masked: the last column does that once more, on
the same depth. Rendered truth has no such pixels, so a tenth of it is struck out for that column alone.
"""

import csv
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
import torch

from lab.runs import train_once
from mde_bench.report.markdown import markdown_table
from mde_bench.report.svg import WIDTH, axis_over, plot, text, x_axis, y_axis
from mde_bench.subjects.torch_eager import open_subject
from mde_runtime import files, records
from mde_runtime.command import PATH, Command, Real, say
from mde_runtime.evenly_spaced import evenly_spaced
from mde_runtime.protocols import open_protocol
from mde_train.data import open_split, splits_of

NETWORKS = {"cnn-fc": "CNN+FC", "cnn": "CNN", "cnn-trans": "CNN+trans", "fcrn": "CNN+Res"}  # in the slide's order
SLIDE = {  # its δ1, AbsRel and RMSE, as printed
    "cnn-fc": ("0.307", "3.4e5", "1.12"),
    "cnn": ("0.195", "1.2e6", "1.22"),
    "cnn-trans": ("0.143", "3.2e5", "1.23"),
    "fcrn": ("0.634", "2.35e4", "1.74"),
}
COLOURS = ("#1f4e9c", "#9c3420", "#5a8f29", "#8a5fbf")
EPSILON_M = 1e-6  # in place of a truth of 0, as the slides' figures suggest
HOLES = 0.1  # of the pixels of a truth that has none
MOST_JUDGED = 200
HEIGHT = 260.0
SMOOTHED_STEPS = 20  # a step's loss is a batch's; its mean over so many shows where it goes
STYLE = (
    "<style>svg{background:#fff}text{font:11px sans-serif;fill:#444}line{stroke:#ddd}"
    "polyline{fill:none;stroke-width:1.5}</style>"
)


@dataclass(frozen=True)
class Found:
    """A network's figures on the held-out frames."""

    network: str
    minutes: float
    epochs: float
    num_frames: int
    delta1: float
    abs_rel: float
    rmse_m: float
    abs_rel_unmasked: float


@click.command(cls=Command)
@click.argument("data", type=PATH)
@click.option("--out", type=PATH, required=True, help="Folder for the runs, the table and the curves.")
@click.option("--minutes", type=Real(0, min_open=True), default=30.0, show_default=True, help="For each network.")
@click.option("--network", "networks", type=click.Choice(tuple(NETWORKS)), multiple=True, help="These alone.")
@click.option(
    "--weights", type=PATH, help="ImageNet's ResNet-50, for fcrn's frozen encoder; without, all of it trains."
)
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change the recipes.")
def main(
    data: Path, out: Path, minutes: float, networks: tuple[str, ...], weights: Path | None, settings: tuple[str, ...]
) -> None:
    """Train the slides' networks on DATA, and print their table."""
    found = []
    for network in networks or NETWORKS:
        _train(network, data, out / network, minutes, weights, settings)
        found.append(_judged(network, data, out / network))
        files.write_text(out / "papers.json", records.dumps(found))
    table = table_of(found)
    files.write_text(out / "table.md", table)
    files.write_text(out / "curves.svg", curves_of({row.network: losses(out / row.network) for row in found}))
    click.echo(table)


def _train(network: str, data: Path, run: Path, minutes: float, weights: Path | None, settings: Sequence[str]) -> None:
    chosen = [f"max_minutes={minutes}", "evaluate_every_epochs=1", *settings]
    start: list[object] = []
    if network == "fcrn":
        start, chosen = (
            (["--weights", weights], chosen) if weights else ([], [*chosen, "model_options.is_frozen=false"])
        )
    train_once(network, data, run, start, chosen)


def _judged(network: str, data: Path, run: Path) -> Found:
    subject = open_subject(str(run / "best.ckpt"), num_threads=torch.get_num_threads())
    frames = open_split(data, splits_of(data)[-1])
    judge = open_protocol("nyu")
    unmasked = []
    picked = evenly_spaced(len(frames), MOST_JUDGED)
    for index in picked:
        sample = frames[index]
        depth_m = subject.answer(np.ascontiguousarray(sample.frame)).depth_m
        judge.add(depth_m, sample.depth_m)
        unmasked.append(abs_rel_unmasked(depth_m, sample.depth_m, np.random.default_rng(index)))
    values = judge.result().values
    step, taken = _last_step(run)
    epochs = step / max(1, _steps_per_epoch(data, run))
    say(f"{network}: judged on {len(picked)} frames")
    return Found(
        network=network,
        minutes=taken,
        epochs=epochs,
        num_frames=len(picked),
        delta1=values["delta1"],
        abs_rel=values["abs_rel"],
        rmse_m=values["rmse_m"],
        abs_rel_unmasked=float(np.mean(unmasked)),
    )


def abs_rel_unmasked(
    depth_m: npt.NDArray[np.floating], truth_m: npt.NDArray[np.floating], rng: np.random.Generator
) -> float:
    """AbsRel over all pixels, a truth of 0 taken as EPSILON_M; (H, W) metres.

    A truth without holes gets HOLES of them first.
    """
    truth = np.asarray(truth_m, np.float64)
    if (truth > 0).all():
        truth = np.where(rng.random(truth.shape) < HOLES, 0.0, truth)
    truth = np.maximum(truth, EPSILON_M)
    return float(np.mean(np.abs(depth_m - truth) / truth))


def table_of(found: Sequence[Found]) -> str:
    """The slide's table beside ours, in Markdown."""
    head = ("network", "min", "epochs", "δ1", "AbsRel", "RMSE m", "AbsRel unmasked", "slide: δ1", "AbsRel", "RMSE")
    rows = []
    for row in found:
        ours = (f"{row.delta1:.3f}", f"{row.abs_rel:.3f}", f"{row.rmse_m:.2f}", f"{row.abs_rel_unmasked:.2g}")
        rows.append((NETWORKS[row.network], f"{row.minutes:.0f}", f"{row.epochs:.1f}", *ours, *SLIDE[row.network]))
    return markdown_table(head, rows)


def losses(run: Path) -> list[tuple[int, float]]:
    """The training loss of every step of a run, from its curves.csv."""
    with (run / "curves.csv").open(newline="") as file:
        return [(int(row["step"]), float(row["value"])) for row in csv.DictReader(file) if row["name"] == "loss"]


def curves_of(runs: dict[str, list[tuple[int, float]]]) -> str:
    """The losses of several runs over their steps, smoothed, on a logarithmic axis; SVG."""
    smooth = {name: _smoothed(points) for name, points in runs.items() if points}
    values = [value for points in smooth.values() for _, value in points]
    if not values:
        return plot("curves", HEIGHT, "no step was taken", STYLE)
    across = axis_over([0.0, *(step for points in smooth.values() for step, _ in points)], 46, WIDTH - 8, is_log=False)
    up = axis_over(values, HEIGHT - 40, 24, is_log=True)
    parts = [STYLE, x_axis(across, 24, HEIGHT - 40, "steps"), y_axis(up, 46, WIDTH - 8, "training loss, m²")]
    for index, (name, points) in enumerate(smooth.items()):
        colour = COLOURS[index % len(COLOURS)]
        path = " ".join(f"{across.at(step):.1f},{up.at(value):.1f}" for step, value in points)
        parts.append(f'<polyline points="{path}" style="stroke:{colour}"/>')
        parts.append(text(WIDTH - 90, 38 + 14 * index, NETWORKS.get(name, name)))
        parts.append(f'<rect x="{WIDTH - 104}" y="{30 + 14 * index}" width="9" height="9" fill="{colour}"/>')
    return plot("curves", HEIGHT, "training loss by step", "".join(parts))


def _smoothed(points: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    chunks = [points[start : start + SMOOTHED_STEPS] for start in range(0, len(points), SMOOTHED_STEPS)]
    return [(chunk[-1][0], float(np.mean([value for _, value in chunk]))) for chunk in chunks]


def _last_step(run: Path) -> tuple[int, float]:
    with (run / "curves.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return (int(rows[-1]["step"]), float(rows[-1]["minutes"])) if rows else (0, 0.0)


def _steps_per_epoch(data: Path, run: Path) -> int:
    recipe = records.parse((run / "recipe.json").read_bytes(), str(run / "recipe.json"))
    return len(open_split(data, splits_of(data)[0])) // int(recipe["batch_size"])


if __name__ == "__main__":
    sys.exit(main())
