"""Calibrating a camera: a bundle's depth beside distances that were measured, and the gain between them."""

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt

from mde_runtime.bundle import Bundle
from mde_runtime.camera.calibration import Calibration
from mde_runtime.camera.gain import Measured, fit_gain
from mde_runtime.camera.measured_frames import Floats, MeasuredFrame
from mde_runtime.contract import Contract, Intrinsics
from mde_runtime.errors import BadInputError

Frame = npt.NDArray[np.uint8]
Depth = npt.NDArray[np.float32]


def calibrate(
    bundle: Bundle,
    depth_of: Callable[[Frame], Depth],
    frames: Iterable[MeasuredFrame],
    intrinsics: Intrinsics | None,
    advance: Callable[[], None] = lambda: None,
) -> Calibration:
    """The calibration of the camera that took the frames. depth_of: the bundle's own depth, without any gain.

    Raises VerdictError where it is no better than before, BadInputError for too few points.
    """
    measured = _measured(bundle.contract, depth_of, frames, advance)
    gain, heldout = fit_gain(measured)
    source = bundle.contract.source
    found = Calibration(
        bundle_sha256=bundle.sha256,
        height_px=source.height_px,
        width_px=source.width_px,
        gain=gain,
        intrinsics=intrinsics,
        heldout=heldout,
    )
    found.check(bundle, "the calibration")
    return found


def _measured(
    contract: Contract, depth_of: Callable[[Frame], Depth], frames: Iterable[MeasuredFrame], advance: Callable[[], None]
) -> Measured:
    """Depth and distance at the points. An end of the range says nothing: what is clipped there lies beyond it."""
    range_m = contract.from_network
    depths: list[Floats] = []
    metres: list[Floats] = []
    num_unusable = 0
    for shot in frames:
        if not (shot.metres > 0).all():
            raise BadInputError("a measured distance is 0 m or less; leave it out")
        is_inside = (shot.rows >= 0) & (shot.rows < contract.source.height_px)
        is_inside &= (shot.columns >= 0) & (shot.columns < contract.source.width_px)
        rows, columns, distance_m = shot.rows[is_inside], shot.columns[is_inside], shot.metres[is_inside]
        depth_m = depth_of(shot.frame)[rows, columns]
        is_said = (depth_m > 0) & (depth_m > range_m.near_m) & (depth_m < range_m.far_m)
        depths.append(depth_m[is_said].astype(np.float64))
        metres.append(distance_m[is_said])
        num_unusable += len(shot.metres) - int(is_said.sum())
        advance()
    picture = np.repeat(np.arange(len(depths)), [len(part) for part in depths])
    return Measured(np.concatenate(depths), np.concatenate(metres), picture, num_unusable)
