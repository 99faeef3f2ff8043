"""Accuracy on anyone's own data: nothing cropped, nothing resized, pixels without a measurement masked.

Figures per frame, then their mean over the frames. A truth that is 0 or not finite is no measurement. RMSE, AbsRel,
SILog and δ1 to δ3 are taken over the measured pixels, SSIM over those pixels whose whole window was measured.
Sources: Eigen, Puhrsch and Fergus, NIPS 2014 (metrics); Wang et al., IEEE TIP 2004 (SSIM).
"""

import numpy as np
import numpy.typing as npt

from mde_runtime import metrics
from mde_runtime.errors import BadInputError
from mde_runtime.protocols.figures import Figures, check_judgeable
from mde_runtime.protocols.masked import NEAR_M, masked_figures

LEAST_SSIM_SHARE = 0.01  # of a frame's pixels; fewer whole windows say nothing about the frame


def accumulator(name: str, span_m: float | None) -> "Plain":
    """A fresh accumulator. span_m: of the model's range, the data range of SSIM; None: no SSIM."""
    return Plain(name, span_m)


class Plain:
    """Accumulates figures per frame over the measured pixels."""

    def __init__(self, name: str, span_m: float | None):
        self._name, self._span_m = name, span_m
        self._frames: list[dict[str, float]] = []
        self._similarities: list[float] = []

    def add(self, depth_m: npt.NDArray[np.floating], truth_m: npt.NDArray[np.floating]) -> None:
        """Judge one frame; depth and truth (H, W) metres, of one size."""
        where = f"protocol {self._name}, frame {len(self._frames)}"
        check_judgeable(where, depth_m)
        if depth_m.shape != truth_m.shape:
            raise BadInputError(
                f"{where}: depth of {depth_m.shape} px for ground truth of {truth_m.shape} px; "
                "resize it to the ground truth first"
            )
        valid = np.isfinite(truth_m) & (truth_m > 0)
        if not valid.any():
            raise BadInputError(f"{where}: no pixel of the ground truth was measured; leave the frame out")
        truth = np.where(valid, truth_m, 0).astype(np.float64)
        self._frames.append(masked_figures(np.maximum(np.asarray(depth_m, np.float64), NEAR_M), truth, valid))
        if self._span_m is not None and (whole := whole_windows(valid)).mean() >= LEAST_SSIM_SHARE:
            similarity = metrics.ssim_map(depth_m, truth, self._span_m)
            self._similarities.append(float(similarity[whole].mean()))

    def result(self) -> Figures:
        """AbsRel, RMSE (m), RMSE of log, log10, SIlog (per cent), δ1 to δ3, and SSIM where it is known; per frame."""
        parts = {name: [frame[name] for frame in self._frames] for name in (self._frames[0] if self._frames else {})}
        if self._similarities:
            parts["ssim"] = self._similarities
        return Figures.mean_of(self._name, len(self._frames), parts)


def whole_windows(valid: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Where the whole window of SSIM lies in the frame and was measured; bool (H, W)."""
    reach = metrics.SSIM_WINDOW_PX // 2
    holes = np.pad(~valid, reach, constant_values=True).astype(np.int64).cumsum(axis=0).cumsum(axis=1)
    holes = np.pad(holes, ((1, 0), (1, 0)))
    side = metrics.SSIM_WINDOW_PX
    in_window = holes[side:, side:] - holes[:-side, side:] - holes[side:, :-side] + holes[:-side, :-side]
    whole: npt.NDArray[np.bool_] = in_window == 0
    return whole
