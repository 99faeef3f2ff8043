"""`mde-bundle calibrate`: the gain of one's own camera, from measured distances, on the robot."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mde_runtime.cli.backend_options import BACKEND, PRECISION
from mde_runtime.command import INTRINSICS, OUTPUT, PATH, Command, Real, say
from mde_runtime.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mde_runtime.camera.calibration import Calibration
    from mde_runtime.camera.measured_frames import MeasuredFrame
    from mde_runtime.contract import Contract, Intrinsics


@click.command(cls=Command)
@click.argument("bundle", type=PATH)
@click.option("--points", type=PATH, metavar="CSV", help="Measured distances, one per line: image,x,y,metres.")
@click.option(
    "--frames", type=PATH, metavar="DIR", help="Folder of the images named in CSV.  [default: the folder of CSV]"
)
@click.option(
    "--data",
    type=PATH,
    metavar="DIR",
    help="Instead of both, frames of a depth camera: pictures in DIR/rgb or DIR/color, depth under the same names in "
    "DIR/depth, .npy (m) or .png (16-bit); or TUM's lists DIR/rgb.txt and DIR/depth.txt.",
)
@click.option(
    "--depth-scale",
    type=Real(1, 1e6),
    metavar="LEVELS",
    help="Levels per metre of depth in PNG files.  [default: 1000 (mm); 5000 for TUM's lists]",
)
@click.option(
    "--intrinsics",
    type=INTRINSICS,
    metavar="FX,FY,CX,CY",
    help="Camera intrinsics in px at the bundle's frame size. Stored for point clouds; the gain uses them only with "
    "--data, if the bundle's depth is along rays.",
)
@click.option(
    "-o",
    "--out",
    type=OUTPUT,
    default="camera.json",
    show_default=True,
    metavar="FILE",
    help="Calibration file to write.",
)
@BACKEND
@PRECISION
def calibrate(
    bundle: Path,
    points: Path | None,
    frames: Path | None,
    data: Path | None,
    depth_scale: float | None,
    intrinsics: "Intrinsics | None",
    out: Path,
    backend: str,
    precision: str,
) -> None:
    """Fit the scale of a bundle's depth to your camera, from 8 or more distances measured by tape.

    Each line of CSV is the distance to the point seen at one pixel: x is its column and y its row, from the top left.
    Measure along the optical axis (z) or along the pixel's ray, as `mde-bundle inspect` says of the bundle. The gain
    is tested on held-out points. If it does not help, nothing is written and the exit code is 1. It is valid for this
    bundle and this camera only.

    \b
    mde-bundle calibrate model.mde --points points.csv -o camera.json
    mde-predict model.mde photo.jpg -o depth --calibration camera.json
    """
    from mde_runtime import files, records
    from mde_runtime.bundle import read_bundle
    from mde_runtime.camera.calibrate import calibrate as fit
    from mde_runtime.estimator import DepthEstimator
    from mde_runtime.progress import progress

    opened = read_bundle(bundle)
    count, measured = _measured(points, frames, data, depth_scale, opened.contract, intrinsics)
    canonical_px = opened.contract.from_network.canonical_focal_px  # the map as it is: the gain holds the focal length
    with (
        DepthEstimator.open(bundle, backend, precision, focal_px=canonical_px) as estimate,
        progress("Calibrating", count) as advance,
    ):
        say(str(estimate.choice))
        found = fit(opened, estimate, measured, intrinsics, advance)
    files.write_text(out, records.dumps(found))
    _tell(found)
    click.echo(out)


def _measured(
    points: Path | None,
    frames: Path | None,
    data: Path | None,
    depth_scale: float | None,
    contract: "Contract",
    intrinsics: "Intrinsics | None",
) -> "tuple[int, Iterator[MeasuredFrame]]":
    """How many frames have measured distances, and those frames."""
    if (points is None) == (data is None):
        raise UsageError("measured distances come from one place; give --points CSV, or --data DIR of a depth camera")
    if points is not None:
        if depth_scale is not None:
            raise UsageError("--depth-scale is for --data DIR; distances in a CSV are metres")
        return _of_tape(points, frames, contract)
    assert data is not None
    if frames is not None:
        raise UsageError("--data DIR has its own pictures; leave --frames out")
    return _of_depth_camera(data, depth_scale, contract, intrinsics)


def _of_tape(points: Path, frames: Path | None, contract: "Contract") -> "tuple[int, Iterator[MeasuredFrame]]":
    from mde_runtime.camera.measured_frames import of_tape, read_points

    by_image = read_points(points)
    return len(by_image), of_tape(by_image, frames or points.parent, contract)


def _of_depth_camera(
    data: Path, depth_scale: float | None, contract: "Contract", intrinsics: "Intrinsics | None"
) -> "tuple[int, Iterator[MeasuredFrame]]":
    from mde_runtime.camera.depth_folders import depth_pictures
    from mde_runtime.camera.measured_frames import of_depth_camera

    pictures = depth_pictures(data, depth_scale)
    say(f"{data}: {len(pictures)} frames with depth; {pictures[0].levels_per_metre:g} levels per metre in PNG files")
    return len(pictures), of_depth_camera(pictures, contract, intrinsics)


def _tell(found: "Calibration") -> None:
    heldout = found.heldout
    say(f"gain {found.gain:.4f}, from {heldout.num_points} distances in {heldout.num_pictures} pictures")
    say(
        f"held-out points are off by {heldout.abs_log_before:.2%} before, {heldout.abs_log:.2%} after (mean "
        f"|ln(depth / distance)|); mean error {heldout.abs_before_m:.3f} m before, {heldout.abs_m:.3f} m after; RMSE "
        f"{heldout.rmse_before_m:.3f} m before, {heldout.rmse_m:.3f} m after"
    )
