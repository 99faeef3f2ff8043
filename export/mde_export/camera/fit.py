"""Scale and shift of a network's quantity from measured distances, believed only where they help on points held out.

Source of the model: Ranftl et al., TPAMI 2022: inverse depth is known up to scale and shift.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mde_export.graph.canonical import to_bytes
from mde_export.graph.graft import stages_to_metres
from mde_export.graph.stages import DEPTH, MAP
from mde_export.judge.execute import Executor
from mde_runtime.contract import FromNetwork, Kind
from mde_runtime.errors import BadInputError, VerdictError

MIN_POINTS, NUM_FOLDS = 8, 4
NUM_REWEIGHTINGS = 10  # of outliers: a wrong point must not move the rest
HUBER = 1.345  # standard deviations from which a residual counts linearly: 95 % efficiency on Gaussian errors

Floats = npt.NDArray[np.float64]
ToMetres = Callable[[Floats], Floats]


@dataclass(frozen=True)
class Linear:
    """What scale and shift are linear in, as a function of metres z, and |dz| for a small change of it, at z."""

    of_metres: Callable[[Floats], Floats]
    slope: Callable[[Floats], Floats]


INVERSE = Linear(np.reciprocal, np.square)  # dz = z² d(1/z)
LINEAR: dict[Kind, Linear] = {
    "metric_depth": Linear(np.positive, np.ones_like),
    "inverse_depth": INVERSE,
    "relative_inverse_depth": INVERSE,
    "log_depth": Linear(np.log, np.positive),  # dz = z d(log z)
}


@dataclass(frozen=True)
class Measured:
    """The network's quantity where a distance was measured."""

    quantity: Floats
    metres: Floats
    group: npt.NDArray[np.int64]  # of the picture: points of one are held out together
    num_unseen: int = 0  # more distances, measured where the network does not see


@dataclass(frozen=True)
class Fit:
    """A scale and shift, and what they are worth: RMSE on points that were held out, metres."""

    scale: float
    shift: float
    rmse_m: float
    rmse_before_m: float  # with the old scale and shift, or of the mean distance where there was no metric depth
    num_points: int
    num_unseen: int  # points left out, because the network does not see them


def fit(measured: Measured, from_network: FromNetwork) -> Fit:
    """The better of scale alone and scale with shift. Raises VerdictError where neither helps on points held out.

    Raises BadInputError for too few points, or points that are no distances.
    """
    count = len(measured.metres)
    if count < MIN_POINTS:
        unseen = f" inside the network's view ({measured.num_unseen} more are outside)" if measured.num_unseen else ""
        raise BadInputError(
            f"{count} measured distances{unseen} are too few to hold any out; measure {MIN_POINTS} or more"
        )
    if not (np.isfinite(measured.quantity).all() and (measured.metres > 0).all()):
        raise BadInputError("a measured distance is 0 or less, or the network gives NaN there; leave it out")
    to_metres = metres_by_stages(from_network)
    before_m = _before(measured, from_network, to_metres)
    errors = {with_shift: _heldout_rmse(measured, from_network, to_metres, with_shift) for with_shift in (False, True)}
    with_shift = min(errors, key=lambda key: errors[key])
    if not errors[with_shift] < before_m:
        raise VerdictError(
            f"scale and shift fitted to {count} measured distances do not help on held-out ones: RMSE "
            f"{errors[with_shift]:.3f} m after, {before_m:.3f} m before; measure more, farther apart. Nothing was "
            "written"
        )
    scale, shift = _least_squares(measured, from_network, to_metres, with_shift)
    return Fit(scale, shift, errors[with_shift], before_m, count, measured.num_unseen)


def _before(measured: Measured, from_network: FromNetwork, to_metres: ToMetres) -> float:
    if from_network.is_metric:
        return _rmse(to_metres(measured.quantity * from_network.scale + from_network.shift), measured.metres)
    return float(np.std(measured.metres))


def _heldout_rmse(measured: Measured, from_network: FromNetwork, to_metres: ToMetres, with_shift: bool) -> float:
    """RMSE over all points, each predicted by a fit that has not seen it."""
    names = np.unique(measured.group)
    fold = np.searchsorted(names, measured.group) if len(names) >= NUM_FOLDS else np.arange(len(measured.metres))
    predicted = np.empty_like(measured.metres)
    for index in range(NUM_FOLDS):
        is_out = fold % NUM_FOLDS == index
        seen = Measured(measured.quantity[~is_out], measured.metres[~is_out], measured.group[~is_out])
        scale, shift = _least_squares(seen, from_network, to_metres, with_shift)
        predicted[is_out] = to_metres(measured.quantity[is_out] * scale + shift)
    return _rmse(predicted, measured.metres)


def _least_squares(
    measured: Measured, from_network: FromNetwork, to_metres: ToMetres, with_shift: bool
) -> tuple[float, float]:
    """Robust: errors in metres, of which large ones count linearly."""
    linear = LINEAR[from_network.kind]
    target = linear.of_metres(measured.metres)
    columns = np.stack([measured.quantity, np.full_like(target, float(with_shift))], axis=1)
    weight, scale, shift = np.ones_like(target), 1.0, 0.0
    for _ in range(NUM_REWEIGHTINGS):
        (scale, shift), *_rest = np.linalg.lstsq(columns * weight[:, None], target * weight, rcond=None)
        # At the fitted z: at the measured one a point that is wrong by far would weigh the most.
        in_metres = linear.slope(to_metres(measured.quantity * scale + shift))
        residual = np.abs(columns @ (scale, shift) - target) * in_metres
        sigma = max(1.4826 * float(np.median(residual)), 1e-6)  # of a Gaussian, from its median
        weight = in_metres * np.sqrt(np.minimum(1.0, HUBER * sigma / np.maximum(residual, 1e-12)))
    return float(scale), float(shift) if with_shift else 0.0


def metres_by_stages(from_network: FromNetwork) -> ToMetres:
    """From the calibrated quantity to metres, clipped to the range: by the exported graph's own stages."""
    executor = Executor(to_bytes(stages_to_metres(from_network)), literal=True)

    def to_metres(quantity: Floats) -> Floats:
        answer = executor.run({MAP: quantity.astype(np.float32).reshape(1, 1, 1, -1)})
        return answer[DEPTH].reshape(-1).astype(np.float64)

    return to_metres


def _rmse(predicted_m: Floats, metres: Floats) -> float:
    return float(np.sqrt(np.mean((predicted_m - metres) ** 2)))
