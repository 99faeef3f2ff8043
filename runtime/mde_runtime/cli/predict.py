"""`mde-predict`: depth of pictures and videos, written to files."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import click
from click.core import ParameterSource

from mde_runtime.cli.backend_options import BACKEND, PRECISION
from mde_runtime.colouring import Colouring, Ends
from mde_runtime.command import FOCAL_PX, INTRINSICS, PATH, Command, OneOf, Real, Several, say
from mde_runtime.contract import MAX_FAR_M
from mde_runtime.errors import UsageError, VerdictError, one_line
from mde_runtime.inferno import Direction
from mde_runtime.sinks import SINKS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mde_runtime.bundle import Bundle
    from mde_runtime.choice import Choice
    from mde_runtime.contract import Contract, Intrinsics
    from mde_runtime.predict import Written
    from mde_runtime.sources import Source

FORMATS = " ".join(f"{name}: {sink.help}." for name, sink in SINKS.items()) + " May be repeated."


class _ColourRange(click.ParamType):  # type: ignore[type-arg]  # click before 8.4 takes none
    """`auto`, or near and far in metres."""

    name = "auto|NEAR:FAR"
    _ends = Several(Real(0, MAX_FAR_M), ":", "0:20")

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # Any: click's own
        """The word or the two ends. Ends the command as wrong usage for anything else."""
        if value == "auto":
            return value
        near_m, far_m = self._ends.convert(value, param, ctx)
        if near_m >= far_m:
            self.fail(f"{value}: near is beyond far; write the nearer depth first", param, ctx)
        return near_m, far_m


COLOUR_RANGE = _ColourRange()


FITTED = {"stretch": "stretched", "letterbox": "with black bars", "pad": "with black bars", "crop": "cut"}

GROUPS = {
    "Results": ("out", "formats", "direction", "ends_m", "resume"),
    "Camera": ("calibration", "focal_px", "intrinsics"),
    "Backend": ("backend", "precision", "verbose"),
}


@click.command(cls=Command, groups=GROUPS)
@click.argument("bundle", type=PATH, metavar="BUNDLE", required=False)
@click.argument("sources", metavar="SOURCE...", nargs=-1)
@click.option("-o", "--out", type=PATH, required=True, help="Folder for the results; created if missing.")
@click.option(
    "--sample",
    is_flag=True,
    help="Use the sample bundle that is installed; without SOURCE, also its sample picture. Default format: side.",
)
@click.option(
    "--format",
    "formats",
    type=OneOf(tuple(SINKS)),
    multiple=True,
    default=("npy",),
    show_default=True,
    help=FORMATS,
)
@click.option(
    "--colours",
    "direction",
    type=OneOf(get_args(Direction)),
    default="near-bright",
    show_default=True,
    help="End of the range drawn bright in colour, side and video.",
)
@click.option(
    "--colour-range",
    "ends_m",
    type=COLOUR_RANGE,
    metavar="auto|NEAR:FAR",
    help="Depth range of the colours, metres; auto: each picture's own.  [default: the bundle's range]",
)
@click.option("--calibration", type=PATH, help="Calibration of your camera: camera.json from mde-bundle calibrate.")
@click.option(
    "--focal-px",
    type=FOCAL_PX,
    help="Your camera's focal length in px at the bundle's frame size: for ply, and for bundles whose metres depend "
    "on it.",
)
@click.option(
    "--intrinsics",
    type=INTRINSICS,
    metavar="FX,FY,CX,CY",
    help="Instead of --focal-px: the whole pinhole camera, px at the bundle's frame size; pixel centres are whole "
    "numbers.",
)
@click.option("--resume", is_flag=True, help="Skip frames that already have results.")
@BACKEND
@PRECISION
@click.option(
    "-v", "--verbose", is_flag=True, help="Explain the choice of backend, and list those that cannot run here."
)
def main(
    bundle: Path | None,
    sources: tuple[str, ...],
    out: Path,
    sample: bool,
    formats: tuple[str, ...],
    direction: Direction,
    ends_m: Ends | Literal["auto"] | None,
    calibration: Path | None,
    focal_px: float | None,
    intrinsics: "Intrinsics | None",
    resume: bool,
    backend: str,
    precision: str,
    verbose: bool,
) -> int:
    """Write depth in metres for every SOURCE: pictures, folders, patterns, videos, bags or cameras.

    Cameras are named /dev/video0 and so on or, on a Jetson, csi:0. Name a ROS 2 bag (MCAP or SQLite3) with its topic:
    drive.mcap:/camera/image_raw.

    Pictures of any size are resized to the bundle's size, and their depth back to the picture's. A picture that cannot
    be read is named and skipped, and the exit code is 1.

    \b
    mde-predict --sample -o depth
    mde-predict model.mde photo.jpg -o depth
    mde-predict model.mde drive/ -o depth --format png16 --format colour --resume
    mde-predict model.mde film.mp4 -o depth --format video
    mde-predict model.mde drive.mcap:/camera/image_raw -o depth --format bag
    """
    from mde_runtime.bundle import read_bundle
    from mde_runtime.estimator import DepthEstimator
    from mde_runtime.predict import Kept, Skipped, predict
    from mde_runtime.progress import progress
    from mde_runtime.quiet import own_stderr
    from mde_runtime.sinks import check_resumable
    from mde_runtime.sources import open_sources

    if focal_px is not None and intrinsics is not None:
        raise UsageError("--intrinsics holds the focal length; leave --focal-px out")
    known_px = intrinsics.fx_px if intrinsics else focal_px
    if sample:
        bundle, sources, formats = _of_sample(bundle, sources, formats)
    if bundle is None or not sources:
        raise click.UsageError("pass BUNDLE and SOURCE, or --sample to try it")
    read = read_bundle(bundle)
    for kind in formats if resume else ():
        check_resumable(kind)
    opened = open_sources(sources)
    for source in opened:
        if source.note:
            say(one_line(source.note))
    if calibration is None and known_px is None:
        known_px = _focal_of(read.contract, opened)
    counts = [source.num_frames for source in opened]
    total = None if None in counts else sum(count for count in counts if count is not None)
    num_written = num_skipped = num_kept = 0
    with (
        own_stderr(),
        DepthEstimator.open(bundle, backend, precision, calibration=calibration, focal_px=known_px) as estimate,
        progress("Predicting", total) as advance,
    ):
        for line in _status(read, estimate.choice, is_verbose=verbose):
            say(line)
        camera = intrinsics or _camera(estimate.contract, focal_px)
        teller = _Teller(estimate.contract)
        results = predict(
            estimate,
            opened,
            out,
            formats,
            camera=camera,
            colouring=Colouring(direction, ends_m or "whole"),
            resume=resume,
            advance=advance,
        )
        for result in results:
            if isinstance(result, Skipped):
                num_skipped += 1
                say(f"skipped: {result.reason}")
            elif isinstance(result, Kept):
                num_kept += 1
            else:
                num_written += 1
                teller.tell(result)
    there = f", {num_kept} had results already" if num_kept else ""
    left_out = f", {num_skipped} skipped" if num_skipped else ""
    say(f"{num_written} {'frame' if num_written == 1 else 'frames'} written to {out}{there}{left_out}")
    return VerdictError.exit_code if num_skipped else 0


def _of_sample(
    first: Path | None, sources: tuple[str, ...], formats: tuple[str, ...]
) -> tuple[Path, tuple[str, ...], tuple[str, ...]]:
    """Bundle, sources and formats of `--sample`, with which every argument is a source."""
    from mde_runtime.sample import sample

    bundle, picture = sample()
    say(f"the sample: {bundle}")
    if click.get_current_context().get_parameter_source("formats") is ParameterSource.DEFAULT:
        formats = ("side",)
    return bundle, (() if first is None else (str(first),)) + sources or (str(picture),), formats


def _status(bundle: "Bundle", choice: "Choice", *, is_verbose: bool) -> "Iterator[str]":
    """What runs, in a line unless more is asked for; what a person has to know comes in any case."""
    if is_verbose:
        yield str(choice)
    else:
        yield choice.short
        yield from map(one_line, choice.ignored)
    if bundle.manifest.provenance.rendered:
        yield (
            "this network was trained on rendered scenes only; its metres mean little on photographs until it is "
            "trained on frames from your camera"
        )


class _Teller:
    """Says what was written: each file once, and once that pictures are resized."""

    def __init__(self, contract: "Contract"):
        self._contract, self._has_told_of_size = contract, False
        self._last: Path | None = None

    def tell(self, result: "Written") -> None:
        source, policy = self._contract.source, self._contract.to_network.resize
        if result.was_resized and not self._has_told_of_size:
            self._has_told_of_size = True
            say(
                f"pictures are resized to {source.height_px}x{source.width_px} px for the network, {FITTED[policy]} "
                "where their aspect differs, and their depth is resized back"
            )
        if result.num_nonfinite:
            say(f"{one_line(str(result.files[0]))}: the network gave {result.num_nonfinite} NaN or infinite values")
        for path in result.files:
            if path != self._last:  # a film is written to again and again
                click.echo(one_line(str(path)) if sys.stdout.isatty() else os.fsencode(path))
                self._last = path


def _focal_of(contract: "Contract", sources: "list[Source]") -> float | None:
    """The focal length of the sources' CameraInfo at the size of the bundle's frame, for a bundle that needs one.

    Raises UsageError where they do not agree.
    """
    from mde_runtime.picture_placement import focal_at_source_size

    cameras = {source.camera for source in sources}
    if contract.from_network.canonical_focal_px is None or None in cameras:
        return None
    found = {
        round(focal_at_source_size(camera.intrinsics.fx_px, contract, camera.width_px, camera.height_px), 3)
        for camera in cameras
        if camera is not None
    }
    if len(found) > 1:
        raise UsageError("the bags have different focal lengths; predict them one at a time")
    return next(iter(found), None)


def _camera(contract: "Contract", focal_px: float | None) -> "Intrinsics | None":
    from mde_runtime.contract import Intrinsics

    if focal_px is None:
        return None
    source = contract.source
    return Intrinsics(fx_px=focal_px, fy_px=focal_px, cx_px=(source.width_px - 1) / 2, cy_px=(source.height_px - 1) / 2)
