"""How faithful a graph, an engine or a backend is to the PyTorch model that it came from, and the limits it must keep.

One measure and one table of limits, used by the certificate at export, the verification on the device and the bench.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mde_runtime import metrics
from mde_runtime.contract import FromNetwork
from mde_runtime.errors import BadInputError

Depth = npt.NDArray[np.float32]

TOLERANCE_SHARE = 5e-4  # of the depth range: 1 cm over 0-20 m
MIN_REFERENCE_STD_M = 1.0  # a reference that hardly varies would let a constant output pass


@dataclass(frozen=True)
class Limits:
    """The worst figures that still pass. None: the figure is stated, not judged."""

    rmse_worst_m: float
    p999_m: float | None
    bias_m: float | None
    ssim_worst: float | None
    num_nonfinite: int

    @classmethod
    def of(cls, precision: str, contract: FromNetwork) -> "Limits":
        """The limits of a precision over the contract's depth range, from T = 5e-4 x (far - near)."""
        tolerance_m = TOLERANCE_SHARE * (contract.far_m - contract.near_m)
        if precision == "int8":
            return cls(40 * tolerance_m, None, None, None, 0)
        return cls(tolerance_m, 5 * tolerance_m, tolerance_m / 4, 0.999, 0)


@dataclass(frozen=True)
class Parity:
    """What was measured over a set of frames. Metres; worst is over frames, the other figures are over all pixels."""

    num_frames: int
    reference_std_m: float
    rmse_m: float
    rmse_worst_m: float
    worst_frame: int
    p999_m: float
    max_abs_m: float
    bias_m: float
    ssim_worst: float
    delta1: float
    num_nonfinite: int

    def breaches(self, limits: Limits) -> list[str]:
        """Every limit that does not hold, one line each; empty when the graph passes."""
        found = []
        if self.num_nonfinite > limits.num_nonfinite:
            found.append(f"{self.num_nonfinite} values were NaN or Inf before the clip")
        upper = (
            ("RMSE of the worst frame", self.rmse_worst_m, limits.rmse_worst_m),
            ("p99.9 of |Δ|", self.p999_m, limits.p999_m),
            ("|bias|", abs(self.bias_m), limits.bias_m),
        )
        for name, value, limit in upper:
            if limit is not None and not value <= limit:  # `not <=`, so that NaN breaches
                frame = f" (frame {self.worst_frame})" if value == self.rmse_worst_m else ""
                found.append(f"{name} is {value:.4f} m, over {limit:.4f} m{frame}")
        if limits.ssim_worst is not None and not self.ssim_worst >= limits.ssim_worst:
            found.append(f"SSIM of the worst frame is {self.ssim_worst:.5f}, under {limits.ssim_worst}")
        return found


def measure(depth_m: Depth, reference_m: Depth, num_nonfinite: int, data_range_m: float) -> Parity:
    """Compare (N, H, W) depth with the reference's, metres. data_range_m: far - near, for SSIM.

    Where a value is NaN the figures are NaN too, and `breaches` says so. Raises BadInputError for unequal shapes.
    """
    if depth_m.shape != reference_m.shape or depth_m.ndim != 3:
        raise BadInputError(
            f"depth of shape {depth_m.shape} cannot be compared with a reference of {reference_m.shape}; "
            "bring both to one size"
        )
    difference = depth_m.astype(np.float64) - reference_m.astype(np.float64)
    rmse_by_frame = np.sqrt(np.mean(difference**2, axis=(1, 2)))
    ssim_by_frame = [metrics.ssim(d, r, data_range_m) for d, r in zip(depth_m, reference_m, strict=True)]
    worst = int(np.argmax(np.nan_to_num(rmse_by_frame, nan=np.inf)))
    magnitude = np.abs(difference)
    return Parity(
        num_frames=len(depth_m),
        reference_std_m=float(np.std(reference_m, dtype=np.float64)),
        rmse_m=float(np.sqrt(np.mean(difference**2))),
        rmse_worst_m=float(rmse_by_frame[worst]),
        worst_frame=worst,
        p999_m=float(np.quantile(magnitude, 0.999)),
        max_abs_m=float(magnitude.max()),
        bias_m=float(difference.mean()),
        ssim_worst=float(np.min(ssim_by_frame)),
        delta1=metrics.delta1(depth_m, reference_m),
        num_nonfinite=num_nonfinite,
    )
