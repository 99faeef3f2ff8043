"""`mde-predict`: depth of pictures, written to files."""

from pathlib import Path

import click

from mde_runtime.command import PATH, Command, say
from mde_runtime.errors import VerdictError


@click.command(cls=Command)
@click.argument("bundle", type=PATH)
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True)
@click.option("-o", "--out", type=PATH, required=True, help="Folder for the results; made where it is missing.")
@click.option(
    "--format",
    "formats",
    multiple=True,
    default=("npy",),
    show_default=True,
    help="npy: float32 metres. png16: 16-bit millimetres. colour: a picture with a scale in metres. May be repeated.",
)
@click.option("--backend", default="auto", show_default=True, help="auto: the fastest verified one here.")
@click.option("--precision", default="auto", show_default=True, help="auto, fp32, fp16 or int8.")
def main(
    bundle: Path, sources: tuple[str, ...], out: Path, formats: tuple[str, ...], backend: str, precision: str
) -> int:
    """Write the depth in metres of every SOURCE: pictures, folders or patterns.

    A picture of any size is brought to the size that the bundle takes, and its depth back to the picture's own.
    A picture that cannot be read is named and left out, and the exit code is 1.

    \b
    mde-predict model.mde photo.jpg -o depth
    mde-predict model.mde drive/ -o depth --format png16 --format colour
    """
    from mde_runtime.estimator import DepthEstimator
    from mde_runtime.predict import Written, predict
    from mde_runtime.progress import progress
    from mde_runtime.sources import frames_of

    frames = frames_of(sources)
    num_written = num_skipped = 0
    with DepthEstimator.open(bundle, backend, precision) as estimate, progress("Predicting", len(frames)) as moved_on:
        say(str(estimate.choice))
        source = estimate.contract.source
        has_told_of_size = False
        for result in predict(estimate, frames, out, formats, moved_on):
            if not isinstance(result, Written):
                num_skipped += 1
                say(f"left out: {result.reason}")
                continue
            num_written += 1
            if result.was_resized and not has_told_of_size:
                has_told_of_size = True
                policy = estimate.contract.to_network.resize
                say(
                    f"pictures are resized ({policy}) to {source.height_px}x{source.width_px} px for the network, "
                    "and their depth is resized back"
                )
            if result.num_nonfinite:
                say(f"{result.files[0]}: the network gave {result.num_nonfinite} values that are no numbers")
            for path in result.files:
                click.echo(path)
    say(f"{num_written} of {len(frames)} frames written to {out}")
    return VerdictError.exit_code if num_skipped else 0
