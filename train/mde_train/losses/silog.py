"""`silog`: the scale-invariant error of logarithms."""

from torch import Tensor

from mde_train.losses.masked import masked_mean_per_frame

VARIANCE_FOCUS = 0.85  # 1 would forgive a wrong scale altogether
NEAREST_M = 1e-3  # what a logarithm takes for depth of 0 and below
EPSILON = 1e-8  # keeps the root's gradient finite for a perfect frame


def silog(depth_m: Tensor, truth_m: Tensor, valid: Tensor) -> Tensor:
    """Mean over the frames of sqrt(mean(d²) - 0.85 mean(d)²), d = log depth - log truth.

    Source: Eigen, Puhrsch and Fergus, NIPS 2014; the root and 0.85 after Lee et al., arXiv 1907.10326, 2019.
    """
    difference = depth_m.clamp(min=NEAREST_M).log() - truth_m.clamp(min=NEAREST_M).log()
    mean, mean_square = (masked_mean_per_frame(values, valid) for values in (difference, difference.square()))
    return (mean_square - VARIANCE_FOCUS * mean.square()).clamp(min=0).add(EPSILON).sqrt().mean()
