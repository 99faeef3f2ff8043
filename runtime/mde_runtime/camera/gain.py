"""The gain of a camera from measured distances: robust, and believed only where it helps on points held out.

Errors are |ln(depth / distance)|, since a wrong scale is the same factor everywhere; those in metres have to fall too.
A wrong point can move either by no more than the gain moves its depth, so it cannot decide alone.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mde_runtime.camera.calibration import HeldOut
from mde_runtime.errors import BadInputError, VerdictError

MIN_POINTS, NUM_FOLDS = 8, 4
NUM_REWEIGHTINGS = 20  # of outliers: a wrong point must not move the rest
HUBER = 1.345  # standard deviations from which a residual counts linearly: 95 % efficiency on Gaussian errors
STANDARD_ERRORS = 2.0  # by which the error has to fall: less is chance

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """Depth where a distance was measured."""

    depth_m: Floats  # the bundle's
    metres: Floats  # the tape's, or the depth camera's
    picture: npt.NDArray[np.int64]  # points of one are held out together
    num_unusable: int = 0  # more distances, where the bundle sees nothing or gives an end of its range


def fit_gain(measured: Measured) -> tuple[float, HeldOut]:
    """The gain, and the errors on held-out points before and after.

    Raises VerdictError where it is no better than before, BadInputError for too few points.
    """
    num_points = len(measured.metres)
    if num_points < MIN_POINTS:
        more = f" ({measured.num_unusable} more are outside its depth range)"
        raise BadInputError(
            f"{num_points} measured distances where the bundle gives depth{more if measured.num_unusable else ''} are "
            f"too few to hold any out; measure {MIN_POINTS} or more"
        )
    before = np.abs(np.log(measured.depth_m / measured.metres))
    gains = _gains_without(measured)
    after = np.abs(np.log(gains * measured.depth_m / measured.metres))
    heldout = HeldOut(
        num_points=num_points,
        num_pictures=len(np.unique(measured.picture)),
        abs_log_before=float(before.mean()),
        abs_log=float(after.mean()),
        abs_before_m=float(np.abs(measured.depth_m - measured.metres).mean()),
        abs_m=float(np.abs(gains * measured.depth_m - measured.metres).mean()),
        rmse_before_m=_rmse(measured.depth_m - measured.metres),
        rmse_m=_rmse(gains * measured.depth_m - measured.metres),
    )
    if not (heldout.abs_m < heldout.abs_before_m and _is_better(before - after, measured)):
        raise VerdictError(
            f"no better than before: held-out points are off by {heldout.abs_log:.2%} after and "
            f"{heldout.abs_log_before:.2%} before (mean |ln(depth / distance)|), {heldout.abs_m:.3f} m after and "
            f"{heldout.abs_before_m:.3f} m before, which is worse or within noise; measure more points, farther "
            "apart, or use the bundle as it is. Nothing was written"
        )
    return robust_gain(measured.depth_m, measured.metres), heldout


def robust_gain(depth_m: Floats, metres: Floats) -> float:
    """The gain that takes depth to metres: the robust mean of their ratios' logarithms."""
    log_ratio = np.log(metres / depth_m)
    centre = float(np.median(log_ratio))
    for _ in range(NUM_REWEIGHTINGS):
        residual = np.abs(log_ratio - centre)
        sigma = max(1.4826 * float(np.median(residual)), 1e-6)  # of a Gaussian, from its median
        centre = float(np.average(log_ratio, weights=np.minimum(1.0, HUBER * sigma / np.maximum(residual, 1e-12))))
    return float(np.exp(centre))


def _gains_without(measured: Measured) -> Floats:
    """For each point the gain of a fit that has not seen it, nor its picture where there are enough pictures."""
    fold = _units(measured) % NUM_FOLDS
    gains = np.empty_like(measured.metres)
    for index in range(NUM_FOLDS):
        is_out = fold == index
        gains[is_out] = robust_gain(measured.depth_m[~is_out], measured.metres[~is_out])
    return gains


def _units(measured: Measured) -> npt.NDArray[np.int64]:
    """What is held out together and counts as one: pictures, whose own points err alike; points where they are few."""
    names, picture = np.unique(measured.picture, return_inverse=True)
    return picture if len(names) >= NUM_FOLDS else np.arange(len(measured.metres))


def _is_better(gained: Floats, measured: Measured) -> bool:
    """Whether the error fell by more than chance would have it."""
    units = _units(measured)
    by_unit = np.bincount(units, gained) / np.bincount(units)
    standard_error = by_unit.std(ddof=1) / np.sqrt(len(by_unit))
    return bool(by_unit.mean() > STANDARD_ERRORS * standard_error)


def _rmse(error_m: Floats) -> float:
    return float(np.sqrt(np.mean(error_m**2)))
