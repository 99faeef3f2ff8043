"""mde-data: make, check and measure data sets."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mde_runtime.command import PATH, Group

if TYPE_CHECKING:
    from mde_train.data.check import SplitReport
    from mde_train.data.stats import Baseline, MeanDepth


@click.group(cls=Group)
def main() -> None:
    """Make, check and measure data sets of frames with depth."""


@main.command()
@click.argument("out", type=PATH)
@click.option("--frames", "num_frames", type=int, default=2000, show_default=True, help="How many; every fifth is val.")
@click.option("--seed", type=int, default=0, show_default=True, help="Another seed, other scenes.")
def synth(out: Path, num_frames: int, seed: int) -> None:
    """Make a data set of streets and rooms in OUT: rgb/{train,val}/N.jpeg and depth/{train,val}/N.npy.

    144x256 px, one camera (focal length 128 px), depth along the optical axis in metres, 100 m in the sky. Takes
    170 kB and about 1/50 s a frame. Interrupted, it goes on where it was; asked for more frames, it adds them.

    Example: mde-data synth data/synth --frames 2000 --seed 1
    """
    from mde_runtime.command import say
    from mde_train.data.synth.dataset import synthesise

    num_made = synthesise(out, num_frames, seed)
    say(f"made {num_made} frames, {num_frames - num_made} were there")
    click.echo(out)


@main.command()
@click.argument("data", type=PATH)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def check(data: Path, as_json: bool) -> None:
    """Read every file of DATA and say what it holds: counts, sizes, depth ranges, frames left out and why.

    A damaged file ends it with one line that names the file, and exit code 3.
    """
    from mde_runtime import records
    from mde_train.data.check import check as check_data

    reports = check_data(data)
    click.echo(records.dumps(reports) if as_json else "\n\n".join(map(_split_as_text, reports)), nl=not as_json)


@main.command()
@click.argument("data", type=PATH)
@click.option("--protocol", default="seed", show_default=True, help="How accuracy is averaged; see mde-bench accuracy.")
@click.option("--keep-bad-frames", is_flag=True, help="Let frames whose depth is no depth into the mean.")
@click.option("--constant", "constants_m", type=float, multiple=True, metavar="METRES", help="Judge this guess too.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def stats(data: Path, protocol: str, keep_bad_frames: bool, constants_m: tuple[float, ...], as_json: bool) -> None:
    """Score what can be guessed without looking: the mean depth of DATA's training frames, and its mean image.

    Both are judged on the last split (val, or test). A network has to beat the mean image.

    Example: mde-data stats data/street --protocol seed --constant 20
    """
    from mde_runtime import records
    from mde_train.data import open_split, splits_of
    from mde_train.data.stats import baselines, mean_depth

    splits = splits_of(data)
    learnt = open_split(data, splits[0], keep_bad_frames=keep_bad_frames)
    mean = mean_depth(learnt, protocol)
    scored = baselines(open_split(data, splits[-1]), mean, protocol, constants_m)
    if as_json:
        rows = [{"guess": row.guess, "num_frames": row.figures.num_frames, **row.figures.values} for row in scored]
        head = {"protocol": protocol, "num_train_frames": mean.num_frames, "mean_depth_m": mean.constant_m}
        click.echo(records.dumps({**head, "baselines": rows}), nl=False)
    else:
        click.echo(_stats_as_text(mean, scored))


def _split_as_text(report: "SplitReport") -> str:
    sizes = ", ".join(f"{count} of {size} px" for size, count in report.sizes_px.items())
    lines = [
        f"{report.split}: {report.num_frames} frames ({sizes})",
        f"  depth {report.depth_min_m:.2f} to {report.depth_max_m:.2f} m, mean {report.depth_mean_m:.2f} m, "
        f"{report.beyond_20_m_share:.1%} at 20 m or more, {report.valid_share:.1%} of the pixels measured",
        *(f"  left out: frame {skipped.name}, {skipped.reason}" for skipped in report.skipped),
        f"  sha256 {report.sha256}",
    ]
    return "\n".join(lines)


def _stats_as_text(mean: "MeanDepth", scored: "list[Baseline]") -> str:
    figures = scored[0].figures
    lines = [f"protocol {figures.protocol}: means of {mean.num_frames} frames, judged on {figures.num_frames}"]
    width = max(len(row.guess) for row in scored)
    for row in scored:
        values = "  ".join(f"{name} {value:.4f}" for name, value in row.figures.values.items())
        lines.append(f"  {row.guess:<{width}}  {values}")
    return "\n".join(lines)
