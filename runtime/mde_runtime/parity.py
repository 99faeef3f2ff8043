"""Fidelity of a graph, an engine or a backend to the PyTorch model that it came from, and the limits it must keep.

One measure and one table of limits, used by the certificate at export, the verification on the device and the bench.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from mde_runtime import metrics
from mde_runtime.contract import Contract, FromNetwork
from mde_runtime.errors import BadInputError

Depth = npt.NDArray[np.float32]


class Maps(Protocol):
    """Depth maps, (N, H, W): an array, or what reads them one at a time."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of all of them together."""
        ...

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Depth]: ...


TOLERANCE_SHARE = 5e-4  # of the depth range: 1 cm over 0-20 m
NUM_BINS = 1 << 16  # of |Δ| up to its largest
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
    # R² = 1 - sum of Δ² / sum of (reference - its frame's mean)², over all frames and pixels: the coefficient of
    # determination against each frame's own mean. 1 is perfect; a constant scores 0 or less, whatever the range, where
    # limits in metres alone let one pass if depth varies little; 0 where the reference does not vary within any frame.
    r2: float | None  # None in certificates of schema 1 alone
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


def measure(depth_m: Maps, reference_m: Maps, num_nonfinite: int, contract: Contract) -> Parity:
    """Compare (N, H, W) depth with the reference's, metres, where the network sees the contract's frame.

    A frame at a time, so that it needs no more memory for many frames. Where a value is NaN the figures are NaN too,
    and `breaches` says so. Raises BadInputError for unequal shapes.
    """
    if depth_m.shape != reference_m.shape or len(depth_m.shape) != 3:
        raise BadInputError(
            f"depth of shape {depth_m.shape} cannot be compared with a reference of {reference_m.shape}; "
            "bring both to one size"
        )
    span_m = contract.from_network.span_m
    sums = [
        _frame_sums(depth[contract.seen], reference[contract.seen], span_m)
        for depth, reference in zip(depth_m, reference_m, strict=True)
    ]
    num_pixels = sum(frame.num_pixels for frame in sums)
    total = _FrameSums(*(sum(values) for values in zip(*sums, strict=True)))
    rmse_by_frame = np.sqrt([frame.squared_error / frame.num_pixels for frame in sums])
    worst = int(np.argmax(np.nan_to_num(rmse_by_frame, nan=np.inf)))
    max_abs_m = float(np.max([frame.max_abs_m for frame in sums]))
    mean_m = total.reference / num_pixels
    return Parity(
        num_frames=len(depth_m),
        reference_std_m=float(np.sqrt(max(0.0, total.squared_reference / num_pixels - mean_m**2))),
        rmse_m=float(np.sqrt(total.squared_error / num_pixels)),
        rmse_worst_m=float(rmse_by_frame[worst]),
        worst_frame=worst,
        p999_m=_p999(depth_m, reference_m, contract, max_abs_m),
        max_abs_m=max_abs_m,
        bias_m=float(total.error / num_pixels),
        ssim_worst=float(np.min([frame.ssim for frame in sums])),
        r2=1 - total.squared_error / total.variation if total.variation else 0.0,
        abs_rel=total.relative_error / total.num_far if total.num_far else None,
        delta1=total.num_near_right / num_pixels,
        num_nonfinite=num_nonfinite,
    )


class _FrameSums(NamedTuple):
    """What a frame adds to the figures of all."""

    num_pixels: float
    error: float
    squared_error: float
    reference: float
    squared_reference: float
    variation: float  # of the reference about its frame's mean
    relative_error: float  # over pixels with a reference beyond 0 m
    num_far: float  # such pixels
    num_near_right: float  # pixels within δ1
    max_abs_m: float
    ssim: float


def _frame_sums(depth_m: Depth, reference_m: Depth, span_m: float) -> _FrameSums:
    exact = reference_m.astype(np.float64)
    error = depth_m.astype(np.float64) - exact
    is_far = reference_m > 0
    return _FrameSums(
        num_pixels=exact.size,
        error=float(error.sum()),
        squared_error=float(np.square(error).sum()),
        reference=float(exact.sum()),
        squared_reference=float(np.square(exact).sum()),
        variation=variation_within(reference_m),
        relative_error=float((np.abs(error[is_far]) / exact[is_far]).sum()),
        num_far=float(is_far.sum()),
        num_near_right=metrics.delta1(depth_m, reference_m) * exact.size,
        max_abs_m=float(np.abs(error).max()),
        ssim=metrics.ssim(depth_m, reference_m, span_m),
    )


def _p999(depth_m: Maps, reference_m: Maps, contract: Contract, max_abs_m: float) -> float:
    """p99.9 of |Δ|, metres, from a histogram: at most a bin above the exact one, and never below it."""
    if not max_abs_m > 0:  # equal everywhere, or NaN
        return max_abs_m
    counts = np.zeros(NUM_BINS, np.int64)
    for depth, reference in zip(depth_m, reference_m, strict=True):
        magnitude = np.abs(depth[contract.seen].astype(np.float64) - reference[contract.seen])
        bins = np.minimum((magnitude * (NUM_BINS / max_abs_m)).astype(np.int64), NUM_BINS - 1)
        counts += np.bincount(bins.ravel(), minlength=NUM_BINS)
    place = np.searchsorted(np.cumsum(counts), 0.999 * counts.sum())
    return float(min((place + 1) * max_abs_m / NUM_BINS, max_abs_m))


def variation_within(reference_m: Depth) -> float:
    """The sum of (depth - its frame's mean)² over a frame's depth (H, W), m²."""
    exact = reference_m.astype(np.float64)
    return float(np.sum(np.square(exact - exact.mean())))
