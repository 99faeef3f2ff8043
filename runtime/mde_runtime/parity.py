"""How faithful a graph, an engine or a backend is to the PyTorch model that it came from, and the limits it must keep.

One measure and one table of limits, used by the certificate at export, the verification on the device and the bench.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mde_runtime import metrics
from mde_runtime.contract import Contract, FromNetwork
from mde_runtime.errors import BadInputError

Depth = npt.NDArray[np.float32]

TOLERANCE_SHARE = 5e-4  # of the depth range: 1 cm over 0-20 m
AIM = 0.8  # of each limit: every search at export stops there, since another machine's kernels round otherwise


@dataclass(frozen=True)
class Limits:
    """The worst figures that still pass. None: the figure is stated, not judged."""

    rmse_worst_m: float
    p999_m: float | None
    bias_m: float | None
    ssim_worst: float | None
    r2: float | None  # at least; None in certificates of schema 1 alone
    num_nonfinite: int

    @classmethod
    def of(cls, precision: str, contract: FromNetwork) -> "Limits":
        """The limits of a precision over the contract's depth range, from T = 5e-4 x (far - near)."""
        tolerance_m = tolerance(contract)
        if precision == "int8":
            return cls(40 * tolerance_m, None, None, None, 0.95, 0)
        return cls(tolerance_m, 5 * tolerance_m, tolerance_m / 4, 0.999, 0.999, 0)

    def at_share(self, share: float) -> "Limits":
        """The limits with this share of the way from perfect to each of them: 0.8 makes SSIM 0.999 to 0.9992."""

        def below(limit: float | None) -> float | None:
            return None if limit is None else share * limit

        def above(limit: float | None) -> float | None:
            return None if limit is None else 1 - share * (1 - limit)

        return Limits(
            rmse_worst_m=share * self.rmse_worst_m,
            p999_m=below(self.p999_m),
            bias_m=below(self.bias_m),
            ssim_worst=above(self.ssim_worst),
            r2=above(self.r2),
            num_nonfinite=self.num_nonfinite,
        )


@dataclass(frozen=True)
class Parity:
    """What was measured over a set of frames, on the pixels that the network saw.

    Metres; worst is over frames, the other figures are over all pixels.
    """

    num_frames: int
    reference_std_m: float
    rmse_m: float
    rmse_worst_m: float
    worst_frame: int
    p999_m: float
    max_abs_m: float
    bias_m: float
    ssim_worst: float
    r2: float | None  # `explained_variance`; None in certificates of schema 1 alone
    abs_rel: float | None  # None there, and where the reference is 0 m everywhere
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
            found.append(f"SSIM of the worst frame is {self.ssim_worst:.5f}, under {limits.ssim_worst:g}")
        if limits.r2 is not None and not (self.r2 is not None and self.r2 >= limits.r2):
            figure = "not stated" if self.r2 is None else f"{self.r2:.5f}"
            found.append(f"R² within frames is {figure}, under {limits.r2:g}")
        return found


def tolerance(contract: FromNetwork) -> float:
    """T, metres: the RMSE that FP32 and FP16 may have, 1 cm over 0-20 m."""
    return TOLERANCE_SHARE * contract.span_m


def measure(depth_m: Depth, reference_m: Depth, num_nonfinite: int, contract: Contract) -> Parity:
    """Compare (N, H, W) depth with the reference's, metres, where the network sees the contract's frame.

    Where a value is NaN the figures are NaN too, and `breaches` says so. Raises BadInputError for unequal shapes.
    """
    if depth_m.shape != reference_m.shape or depth_m.ndim != 3:
        raise BadInputError(
            f"depth of shape {depth_m.shape} cannot be compared with a reference of {reference_m.shape}; "
            "bring both to one size"
        )
    seen = (slice(None), *contract.seen)
    depth_m, reference_m = depth_m[seen], reference_m[seen]
    difference = depth_m.astype(np.float64) - reference_m.astype(np.float64)
    rmse_by_frame = np.sqrt(np.mean(difference**2, axis=(1, 2)))
    ssim_by_frame = [
        metrics.ssim(d, r, contract.from_network.span_m) for d, r in zip(depth_m, reference_m, strict=True)
    ]
    worst = int(np.argmax(np.nan_to_num(rmse_by_frame, nan=np.inf)))
    magnitude = np.abs(difference)
    is_far = reference_m > 0
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
        r2=explained_variance(depth_m, reference_m),
        abs_rel=metrics.abs_rel(depth_m, reference_m, is_far) if is_far.any() else None,
        delta1=metrics.delta1(depth_m, reference_m),
        num_nonfinite=num_nonfinite,
    )


def explained_variance(depth_m: Depth, reference_m: Depth) -> float:
    """R² = 1 - sum of Δ² / sum of (reference - its frame's mean)², over all frames and pixels. 1 is perfect.

    (N, H, W), metres. A constant scores 0 or less, whatever the range: the limits in metres alone would let one pass
    where depth varies little. 0 where the reference is constant within every frame: there is nothing to explain.
    Source: the coefficient of determination, against each frame's own mean.
    """
    error = float(np.sum(np.square(depth_m.astype(np.float64) - reference_m)))
    varies = variation_within(reference_m)
    return 1 - error / varies if varies else 0.0


def variation_within(reference_m: Depth) -> float:
    """The sum of (depth - its frame's mean)² over (N, H, W) depth, m²."""
    exact = reference_m.astype(np.float64)
    return float(np.sum(np.square(exact - exact.mean(axis=(1, 2), keepdims=True))))
