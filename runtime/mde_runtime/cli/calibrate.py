"""`mde-bundle calibrate`: the gain of one's own camera, from measured distances, on the robot."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mde_runtime.cli.backend_options import BACKEND, PRECISION
from mde_runtime.command import INTRINSICS, OUTPUT, PATH, say
from mde_runtime.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mde_runtime.camera.calibration import Calibration
    from mde_runtime.camera.measured_frames import MeasuredFrame
    from mde_runtime.contract import Contract, Intrinsics


@click.command()
@click.argument("bundle", type=PATH)
@click.option("--points", type=PATH, metavar="CSV", help="Measured distances, a line each: image,x,y,metres.")
@click.option("--frames", type=PATH, metavar="DIR", help="Where the images of CSV lie.  [default: beside it]")
@click.option(
    "--data",
    type=PATH,
    metavar="DIR",
    help="In place of both, a depth camera's: pictures in DIR/rgb, depth of the same names in DIR/depth, .npy (m) or "
    ".png (16 bits, mm).",
)
@click.option(
    "--intrinsics",
    type=INTRINSICS,
    metavar="FX,FY,CX,CY",
    help="Of the camera, px at the size of the bundle's frame; kept for point clouds, the gain has no use for them.",
)
@click.option(
    "-o", "--out", type=OUTPUT, default="camera.json", show_default=True, metavar="FILE", help="The calibration."
)
@BACKEND
@PRECISION
def calibrate(
    bundle: Path,
    points: Path | None,
    frames: Path | None,
    data: Path | None,
    intrinsics: "Intrinsics | None",
    out: Path,
    backend: str,
    precision: str,
) -> None:
    """Fit the scale of a bundle's depth to your camera: 8 distances or more, a tape measure is enough.

    A line of CSV is a distance to what a pixel shows: x counts columns and y rows from the picture's upper left, metres
    are as the bundle's depth, see `mde-bundle inspect`: along the optical axis (z), or along the pixel's ray. The gain
    is judged on points that it was fitted without. Where it is no better than before, nothing is written and the exit
    code is 1. It holds for this bundle and this camera alone.

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
    count, measured = _measured(points, frames, data, opened.contract)
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
    points: Path | None, frames: Path | None, data: Path | None, contract: "Contract"
) -> "tuple[int, Iterator[MeasuredFrame]]":
    """How many frames have measured distances, and those frames."""
    from mde_runtime.camera.measured_frames import depth_pictures, of_depth_camera, of_tape, read_points

    if (points is None) == (data is None):
        raise UsageError("measured distances come from one place; give --points CSV, or --data DIR of a depth camera")
    if points is not None:
        by_image = read_points(points)
        return len(by_image), of_tape(by_image, frames or points.parent, contract)
    assert data is not None
    if frames is not None:
        raise UsageError("--data DIR has its own pictures; leave --frames out")
    pictures = depth_pictures(data)
    return len(pictures), of_depth_camera(pictures, contract)


def _tell(found: "Calibration") -> None:
    heldout = found.heldout
    say(f"gain {found.gain:.4f}, from {heldout.num_points} distances in {heldout.num_pictures} pictures")
    say(
        f"held-out points are off by {heldout.abs_log_before:.2%} before, {heldout.abs_log:.2%} after (mean "
        f"|ln(depth / distance)|); mean error {heldout.abs_before_m:.3f} m before, {heldout.abs_m:.3f} m after; RMSE "
        f"{heldout.rmse_before_m:.3f} m before, {heldout.rmse_m:.3f} m after"
    )
