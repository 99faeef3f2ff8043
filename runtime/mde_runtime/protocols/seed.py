"""The metric of the course challenge that the ResNet-34 network was published with: RMSE and SSIM at 224x224 px.

Truth is clipped to 0-20 m, then resized (bilinear, antialiased, aspect not kept); sky included, nothing masked. RMSE is
taken over all pixels of a batch of 32 frames in the data's order, the last batch as short as it comes, then averaged
over the batches, whatever their lengths. SSIM has a data range of 1 although the maps hold metres, which puts its
constants at the level of float32's rounding: it is computed in float64. For comparison with published figures only.
"""

import numpy as np
import numpy.typing as npt

from mde_runtime import metrics
from mde_runtime.errors import BadInputError
from mde_runtime.protocols.figures import Figures, check_judgeable
from mde_runtime.resampling import resize_maps

SIDE_PX = 224
FAR_M = 20.0
BATCH_SIZE = 32
SSIM_DATA_RANGE = 1.0


def network_size_truth(truth_m: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """Truth as the protocol sees it: (..., H, W) metres clipped to 0-20 m and resized to (..., 224, 224)."""
    return _at_network_size(np.clip(truth_m, 0, FAR_M))


class Seed:
    """Accumulates the seed protocol's figures.

    is_clipped: depth is clipped to 0-20 m before it is resized, as a bundle of that range gives it. Without, it is
    taken as it is: how the network's author judged, with an output that no one had bounded.
    """

    def __init__(self, name: str, *, is_clipped: bool):
        self._name, self._is_clipped = name, is_clipped
        self._squared_errors: list[float] = []
        self._similarities: list[float] = []

    def add(self, depth_m: npt.NDArray[np.floating], truth_m: npt.NDArray[np.floating]) -> None:
        """Judge one frame; depth and truth (H, W) metres, of any sizes."""
        where = f"protocol {self._name}, frame {len(self._similarities)}"
        check_judgeable(where, depth_m)
        if truth_m.min() <= 0:
            raise BadInputError(
                f"{where}: {np.count_nonzero(truth_m <= 0)} pixels of the ground truth were not measured, and this "
                "protocol masks none; use one that does, such as plain"
            )
        depth = _at_network_size(np.clip(depth_m, 0, FAR_M) if self._is_clipped else depth_m)
        truth = network_size_truth(truth_m)
        self._squared_errors.append(metrics.rmse(depth, truth) ** 2)
        self._similarities.append(metrics.ssim(depth, truth, SSIM_DATA_RANGE))

    def result(self) -> Figures:
        """RMSE (m) and SSIM; the parts are the batches."""
        parts = {
            "rmse_m": [float(np.sqrt(np.mean(batch))) for batch in _batches(self._squared_errors)],
            "ssim": [float(np.mean(batch)) for batch in _batches(self._similarities)],
        }
        return Figures.mean_of(self._name, len(self._similarities), parts)


def accumulator(name: str, span_m: float | None) -> Seed:  # noqa: ARG001  every protocol's seam
    """A fresh accumulator of `seed`, or of `seed-raw`, which does not clip."""
    return Seed(name, is_clipped=name == "seed")


def _at_network_size(maps_m: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    maps = np.asarray(maps_m, np.float32)
    return maps if maps.shape[-2:] == (SIDE_PX, SIDE_PX) else resize_maps(maps, SIDE_PX, SIDE_PX, antialias=True)


def _batches(values: list[float]) -> list[list[float]]:
    return [values[start : start + BATCH_SIZE] for start in range(0, len(values), BATCH_SIZE)]
