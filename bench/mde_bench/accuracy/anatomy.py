"""The anatomy of the error: by distance, at the edges of things, and from one frame to the next."""

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mde_runtime import metrics

Maps = npt.NDArray[np.floating]
Masks = npt.NDArray[np.bool_]

BIN_ENDS = (0.0, 0.1, 0.25, 0.5, 1.0)  # of the depth range: error grows with distance, so near bins are narrower
EDGE_JUMP = 0.1  # of the nearer depth, between neighbouring pixels: a tenth is an outline, less is a slope
# Of the nearer depth, and of the pixels. On rendered drives 85 % and more of the pixels keep their truth to a tenth
# from one frame to the next, across a cut that many do in 1 of 80.
SAME_TRUTH, ONE_FILM = 0.1, 0.5


@dataclass(frozen=True)
class DepthBin:
    """The error over the pixels whose truth lies from near (included) to far (excluded, but for the last bin)."""

    near_m: float
    far_m: float
    share: float  # of all valid pixels
    rmse_m: float | None  # None: no pixel is there
    bias_m: float | None


@dataclass(frozen=True)
class Anatomy:
    """The error against the truth: over all valid pixels of all frames at once, and taken apart."""

    rmse_m: float
    abs_rel: float
    delta1: float
    bias_m: float
    max_abs_m: float
    bins: tuple[DepthBin, ...]
    edge_share: float  # of the valid pixels
    edge_rmse_m: float | None
    elsewhere_rmse_m: float | None


def anatomy(depth_m: Maps, truth_m: Maps, valid: Masks, near_m: float, far_m: float) -> Anatomy:
    """Take the error of (N, H, W) depth apart; truth lies within near to far already."""
    error = (depth_m.astype(np.float64) - truth_m)[valid]
    truth, at_edge = truth_m[valid], depth_edges(truth_m)[valid]
    ends = [near_m + end * (far_m - near_m) for end in BIN_ENDS]
    bins = []
    for begin, end in itertools.pairwise(ends):
        inside = (truth >= begin) & ((truth < end) | (end == ends[-1]))
        bias_m = float(error[inside].mean()) if inside.any() else None
        bins.append(DepthBin(begin, end, float(inside.mean()), _rmse(error[inside]), bias_m))
    is_measured = valid & (truth_m > 0)  # a contract whose near end is 0 clips to it, and nothing is relative to 0
    return Anatomy(
        rmse_m=metrics.rmse(depth_m, truth_m, valid),
        abs_rel=metrics.abs_rel(depth_m, truth_m, is_measured),
        delta1=metrics.delta1(depth_m, truth_m, valid),
        bias_m=float(error.mean()),
        max_abs_m=float(np.abs(error).max()),
        bins=tuple(bins),
        edge_share=float(at_edge.mean()),
        edge_rmse_m=_rmse(error[at_edge]),
        elsewhere_rmse_m=_rmse(error[~at_edge]),
    )


def depth_edges(truth_m: Maps) -> Masks:
    """The pixels of (..., H, W) maps next to a jump in depth, on both of its sides."""
    edges = np.zeros(truth_m.shape, bool)
    for axis in (-1, -2):
        here, there = (np.moveaxis(truth_m, axis, 0)[part] for part in (slice(None, -1), slice(1, None)))
        jump = np.abs(here - there) > EDGE_JUMP * np.minimum(here, there)
        along = np.moveaxis(edges, axis, 0)  # a view: what is set in it is set in `edges`
        along[:-1] |= jump
        along[1:] |= jump
    return edges


class Flicker:
    """How much depth changes from frame to frame beyond what the truth does; frames in the order of a sequence.

    Neighbours count where they are of one film: most of what is nearer than far_m, in either, has nearly the same truth
    in both. Across a cut the change says nothing; where most neighbours are of two films, nor does the mean.
    """

    def __init__(self, far_m: float) -> None:
        self._far_m = far_m
        self._last: tuple[Maps, Maps, Masks] | None = None
        self._changes: list[float] = []
        self._num_cuts = 0

    def add(self, depth_m: Maps, truth_m: Maps, valid: Masks) -> None:
        """The next frame of the sequence, (H, W)."""
        error = depth_m.astype(np.float64) - truth_m
        if self._last is not None and self._last[0].shape == error.shape:
            error_before, truth_before_m, valid_before = self._last
            in_both = valid & valid_before
            if in_both.any():
                if self._is_one_film(truth_before_m[in_both], truth_m[in_both]):
                    self._changes.append(float(np.abs(error - error_before)[in_both].mean()))
                else:
                    self._num_cuts += 1
        self._last = (error, truth_m, valid)

    def _is_one_film(self, before_m: Maps, after_m: Maps) -> bool:
        nearer_m, farther_m = np.minimum(before_m, after_m), np.maximum(before_m, after_m)
        is_within = nearer_m < self._far_m
        is_same = farther_m - nearer_m < SAME_TRUTH * nearer_m
        return not is_within.any() or float(is_same[is_within].mean()) >= ONE_FILM

    def mean_m(self) -> float | None:
        """The mean change of the error between neighbouring frames of a film, metres; None: the frames are no film."""
        is_film = len(self._changes) > self._num_cuts
        return float(np.mean(self._changes)) if is_film else None


def _rmse(error: npt.NDArray[np.float64]) -> float | None:
    return float(np.sqrt(np.mean(error**2))) if error.size else None
