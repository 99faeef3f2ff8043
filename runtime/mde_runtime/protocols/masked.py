"""The usual protocols of NYU Depth V2 and KITTI: a crop, a mask, figures per frame, their mean over the frames.

A truth outside (1 mm, far) is no measurement and is masked; depth is clipped to that range first. Every frame weighs
the same, however many of its pixels are valid.
Source: Eigen, Puhrsch and Fergus, NIPS 2014, metrics and crop; Garg et al., ECCV 2016, KITTI crop.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from mde_runtime import metrics
from mde_runtime.errors import BadInputError
from mde_runtime.protocols.figures import Figures, check_judgeable

NEAR_M = 1e-3
NYU_SIZE_PX = (480, 640)

Crop = Callable[[int, int], tuple[slice, slice]]
"""From a frame's height and width to the rows and columns that count."""


def nyu_crop(height_px: int, width_px: int) -> tuple[slice, slice]:
    """Rows 45 to 471 and columns 41 to 601 of a frame of 480x640 px: what Kinect's depth covers."""
    if (height_px, width_px) != NYU_SIZE_PX:
        raise BadInputError(f"protocol nyu: ground truth of {height_px}x{width_px} px; its crop is made for 480x640 px")
    return slice(45, 471), slice(41, 601)


def kitti_garg_crop(height_px: int, width_px: int) -> tuple[slice, slice]:
    """The part of a KITTI frame that the laser covers, after Garg et al."""
    return (
        slice(int(0.40810811 * height_px), int(0.99189189 * height_px)),
        slice(int(0.03594771 * width_px), int(0.96405229 * width_px)),
    )


def kitti_eigen_crop(height_px: int, width_px: int) -> tuple[slice, slice]:
    """The part of a KITTI frame that the laser covers, after Eigen et al."""
    return (
        slice(int(0.3324324 * height_px), int(0.91351351 * height_px)),
        slice(int(0.0359477 * width_px), int(0.96405229 * width_px)),
    )


# By protocol the range that counts, and the part of the frame.
VARIANTS: dict[str, tuple[float, Crop]] = {
    "nyu": (10.0, nyu_crop),
    "kitti": (80.0, kitti_garg_crop),
    "kitti-eigen": (80.0, kitti_eigen_crop),
}


def accumulator(name: str, span_m: float | None) -> "Masked":  # noqa: ARG001  every protocol's seam
    """A fresh accumulator of one of `VARIANTS`."""
    far_m, crop = VARIANTS[name]
    return Masked(name, far_m=far_m, crop=crop)


class Masked:
    """Accumulates figures per frame over the valid pixels of a crop."""

    def __init__(self, name: str, *, far_m: float, crop: Crop):
        self._name, self._far_m, self._crop = name, far_m, crop
        self._frames: list[dict[str, float]] = []

    def add(self, depth_m: npt.NDArray[np.floating], truth_m: npt.NDArray[np.floating]) -> None:
        """Judge one frame; depth and truth (H, W) metres, of one size."""
        where = f"protocol {self._name}, frame {len(self._frames)}"
        check_judgeable(where, depth_m)
        if depth_m.shape != truth_m.shape:
            raise BadInputError(
                f"{where}: depth of {depth_m.shape} px for ground truth of {truth_m.shape} px; "
                "resize it to the ground truth first"
            )
        crop = self._crop(*truth_m.shape)
        truth = np.asarray(truth_m[crop], np.float64)
        valid = (truth > NEAR_M) & (truth < self._far_m)
        if not valid.any():
            raise BadInputError(
                f"{where}: no pixel of the ground truth is between {NEAR_M} m and {self._far_m} m; is it in metres?"
            )
        depth = np.clip(np.asarray(depth_m[crop], np.float64), NEAR_M, self._far_m)
        self._frames.append(masked_figures(depth, truth, valid))

    def result(self) -> Figures:
        """AbsRel, RMSE (m), RMSE of log, log10, SIlog (per cent) and δ1 to δ3; the parts are the frames."""
        names = self._frames[0] if self._frames else {}
        return Figures.mean_of(
            self._name, len(self._frames), {name: [frame[name] for frame in self._frames] for name in names}
        )


def masked_figures(
    depth_m: npt.NDArray[np.float64], truth_m: npt.NDArray[np.float64], valid: npt.NDArray[np.bool_]
) -> dict[str, float]:
    """One frame's figures over its valid pixels; depth and truth (H, W) metres, more than 0 there."""
    log_ratio = np.log(depth_m[valid] / truth_m[valid])
    return {
        "abs_rel": metrics.abs_rel(depth_m, truth_m, valid),
        "rmse_m": metrics.rmse(depth_m, truth_m, valid),
        "rmse_log": float(np.sqrt(np.mean(log_ratio**2))),
        "log10": float(np.mean(np.abs(log_ratio)) / np.log(10)),
        "silog": float(100 * np.std(log_ratio)),  # as KITTI's depth benchmark prints it
        "delta1": metrics.delta1(depth_m, truth_m, valid),
        "delta2": metrics.delta1(depth_m, truth_m, valid, threshold=1.25**2),
        "delta3": metrics.delta1(depth_m, truth_m, valid, threshold=1.25**3),
    }
