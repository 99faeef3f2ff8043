"""mde-data: make, check and measure data sets."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mde_runtime.command import FOCAL_PX, PATH, Group, OneOf, Real, Several, Whole
from mde_runtime.contract import MAX_FAR_M, MAX_SIDE_PX
from mde_runtime.errors import BadInputError, UsageError
from mde_runtime.protocols import AUTO, PROTOCOLS
from mde_train.layout_table import LAYOUTS

if TYPE_CHECKING:
    from mde_train.data.check import DataReport, SplitReport
    from mde_train.data.stats import Baseline, MeanDepth
    from mde_train.data.synth.frames import Kind


SIZE = Several(Whole(16, MAX_SIDE_PX), "x", "480x640")  # height, width; px


@click.group(cls=Group)
def main() -> None:
    """Make, check and measure data sets of frames with depth."""


@main.command()
@click.argument("out", type=PATH)
@click.option(
    "--frames",
    "num_frames",
    type=Whole(1),
    default=2000,
    show_default=True,
    help="Number of frames; every fifth scene goes to val.",
)
@click.option("--seed", type=Whole(0, 2**32 - 1), default=0, show_default=True, help="Seed of the scenes.")
@click.option("--size", type=SIZE, metavar="HxW", default="144x256", show_default=True, help="Size of the frames, px.")
@click.option(
    "--focal-px", type=FOCAL_PX, help="Focal length, px.  [default: half the width, for a field of view of 90 degrees]"
)
@click.option(
    "--scenes", type=OneOf(("all", "streets", "rooms")), default="all", show_default=True, help="Kind of scenes."
)
@click.option(
    "--drive",
    "drive_frames",
    type=Whole(1),
    default=1,
    show_default=True,
    metavar="N",
    help="Frames per scene; with more than one, the camera moves through it at 30 frames per second.",
)
def synth(
    out: Path,
    num_frames: int,
    seed: int,
    size: tuple[int, int],
    focal_px: float | None,
    scenes: "Kind",
    drive_frames: int,
) -> None:
    """Render a data set of streets and rooms with exact depth.

    Writes OUT/rgb/{train,val}/N.jpeg and OUT/depth/{train,val}/N.npy, all from one camera: depth along the optical
    axis in metres, 100 m in the sky. A frame of 144x256 px takes 170 kB and about 1/50 s. Run it again to continue
    after an interruption, or to add frames.

    \b
    mde-data synth data/synth --frames 2000 --seed 1
    mde-data synth data/drives --frames 900 --drive 30
    mde-data synth data/rooms --frames 1000 --size 480x640 --focal-px 519 \\
        --scenes rooms
    """
    from mde_runtime.command import say
    from mde_train.data.synth.dataset import synthesise
    from mde_train.data.synth.scene import Lens

    num_made = synthesise(out, num_frames, seed, Lens(*size, focal_px or size[1] / 2), scenes, drive_frames)
    say(f"made {num_made} frames, {num_frames - num_made} were there already")
    click.echo(out)


LAYOUTS_IN_WORDS = "\n\n".join(f"{name}: {row.help}" for name, row in LAYOUTS.items())
CHECK_HELP = f"""Read all of DATA and report what it contains.

Counts, sizes and depths; frames that are left out, and why; held-out frames that look like training frames; units that
look wrong; and the command that trains on it. If a file is damaged, it is named and the exit code is 3. If no file
declares the layout, it is guessed, and every command uses the guess. Supported layouts:

{LAYOUTS_IN_WORDS}
"""


@main.command(help=CHECK_HELP)
@click.argument("data", type=PATH)
@click.option(
    "--write-layout", is_flag=True, help="Save a guessed layout as DATA/layout.json, where you can correct it."
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def check(data: Path, write_layout: bool, as_json: bool) -> None:  # noqa: D103  its help says it
    from mde_runtime import records
    from mde_runtime.command import say
    from mde_train.data import name_of_layout
    from mde_train.data.advice import advice
    from mde_train.data.check import check as check_data
    from mde_train.data.layouts import guessed

    if write_layout and (name := name_of_layout(data)) != "guessed":
        raise UsageError(f"{data}: its layout is {name}, which is not a guess; leave --write-layout out")
    if write_layout:
        say(f"wrote {guessed.write_declaration(data)}")
    report = check_data(data)
    click.echo(records.dumps(report) if as_json else _report_as_text(report), nl=not as_json)
    if report.num_damaged:
        raise BadInputError(f"{data}: {report.num_damaged} damaged frames; copy them again, or remove them")
    for line in advice(data, report):
        say(line)


@main.command()
@click.argument("data", type=PATH)
@click.option(
    "--val",
    "val_share",
    type=Real(0, 1, min_open=True, max_open=True),
    default=0.15,
    show_default=True,
    help="Share of the frames to hold out.",
)
@click.option(
    "--blocks",
    "num_blocks",
    type=Whole(1),
    help="Number of stretches, spread over the sequence.  [default: up to 4, by the number of frames]",
)
@click.option(
    "--gap",
    "gap_frames",
    type=Whole(0),
    help="Unused frames on each side of a stretch.  [default: 10, at most a tenth of all frames]",
)
def split(data: Path, val_share: float, num_blocks: int | None, gap_frames: int | None) -> None:
    """Hold out stretches of DATA as its val split.

    For data sets without a val split. It never picks random frames: neighbouring frames look alike, so a network
    trained on one has seen the other. Writes DATA/split.json and moves nothing; remove that file to undo it.
    """
    from mde_runtime.command import say
    from mde_train.data import open_split
    from mde_train.data.split import NUM_HELDOUT, hold_out

    held_out = hold_out(data, val_share, num_blocks, gap_frames)
    for block in held_out.val:
        click.echo(f"val: {block.first} to {block.last}")
    num_frames = {name: len(open_split(data, name)) for name in ("train", "val")}
    for name, count in num_frames.items():
        click.echo(f"{name}: {count} frames")
    num_gap = len(open_split(data, "train").skipped)
    say(
        f"{num_gap} frames beside the held-out stretches are in neither split: they look too much like their "
        "neighbours to train on"
    )
    if num_frames["val"] < NUM_HELDOUT:
        enough = min(0.5, NUM_HELDOUT / sum(num_frames.values()))
        say(
            f"an export is certified on {NUM_HELDOUT} frames, and val has {num_frames['val']}: training frames will "
            f"make up the rest; or hold out more with --val {enough:.2f}, or pass others to mde-export --frames"
        )


@main.command()
@click.argument("data", type=PATH)
@click.option(
    "--protocol",
    type=OneOf((AUTO, *PROTOCOLS)),
    default=AUTO,
    show_default=True,
    help="Accuracy protocol; mde-bench accuracy --help describes them.",
)
@click.option("--keep-bad-frames", is_flag=True, help="Include frames with invalid depth in the mean.")
@click.option(
    "--constant",
    "constants_m",
    type=Real(0, MAX_FAR_M, min_open=True),
    multiple=True,
    metavar="METRES",
    help="Also score this constant.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def stats(data: Path, protocol: str, keep_bad_frames: bool, constants_m: tuple[float, ...], as_json: bool) -> None:
    """Score two baselines that ignore the picture: mean depth and mean image.

    The mean depth and the mean of each pixel are taken over DATA's training frames, and scored on the held-out split
    (val, or test; the training frames if there is neither). A network should beat the mean image. There is no mean
    image if frames differ in size, as in KITTI.

    Example: mde-data stats data/street --protocol seed --constant 20
    """
    from mde_runtime import records
    from mde_runtime.command import say
    from mde_train.data import open_split, protocol_of, splits_of
    from mde_train.data.stats import baselines, mean_depth

    protocol = protocol_of(data, protocol)
    splits = splits_of(data)
    if len(splits) == 1:
        say(f"{data} has {splits[0]} only, so the means are judged on their own frames; mde-data split holds some out")
    learnt = open_split(data, splits[0], keep_bad_frames=keep_bad_frames)
    mean = mean_depth(learnt, protocol)
    scored = baselines(open_split(data, splits[-1]), mean, protocol, constants_m)
    if as_json:
        rows = [{"guess": row.guess, "num_frames": row.figures.num_frames, **row.figures.values} for row in scored]
        head = {"protocol": protocol, "num_train_frames": mean.num_frames, "mean_depth_m": mean.constant_m}
        click.echo(records.dumps({**head, "baselines": rows}), nl=False)
    else:
        click.echo(_stats_as_text(mean, scored))


def _report_as_text(report: "DataReport") -> str:
    parts = [f"layout {report.layout}: {LAYOUTS[report.layout].help}"]
    parts += [_split_as_text(split) for split in report.splits]
    if report.nearest:
        lines = [
            f"{report.num_near_duplicates} near-duplicates across the splits; the most similar (0 is identical, of "
            "255):"
        ]
        held_out = report.splits[-1].split
        lines += [
            f"  {held_out} {twins.name}, train {twins.train_name}: {twins.difference:.1f}" for twins in report.nearest
        ]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _split_as_text(report: "SplitReport") -> str:
    sizes = ", ".join(f"{count} of {size} px" for size, count in report.sizes_px.items())
    width = max(map(len, report.histogram))
    lines = [
        f"{report.split}: {report.num_frames} frames ({sizes})",
        f"  depth {report.depth_min_m:.2f} to {report.depth_max_m:.2f} m, mean {report.depth_mean_m:.2f} m, "
        f"{report.valid_share:.1%} of the pixels measured",
        f"  98 % of it from {report.depth_p1_m:.3g} to {report.depth_p99_m:.3g} m",
        *(
            f"  {end:>{width}} {share:6.1%} {'#' * round(60 * share)}".rstrip()
            for end, share in report.histogram.items()
        ),
        *(f"  damaged: {what}" for what in report.damaged),
        *(f"  skipped: frame {skipped.name}, {skipped.reason}" for skipped in report.skipped),
        *([f"  sha256 {report.sha256}"] if report.sha256 else []),
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
