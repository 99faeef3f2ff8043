"""`gradient`: how far the slopes of depth are from the true ones, at four scales. For edges, beside another loss."""

from torch import Tensor

from mde_train.losses.masked import masked_mean

STEPS_PX = (1, 2, 4, 8)


def gradient(depth_m: Tensor, truth_m: Tensor, valid: Tensor) -> Tensor:
    """Mean over the scales of |slope of (depth - truth)| along rows and columns, metres a step.

    A slope counts where both its ends are valid. Source: Li and Snavely, CVPR 2018, multi-scale gradient matching.
    """
    error = depth_m - truth_m
    terms = []
    for step in STEPS_PX:
        for axis in (2, 3):
            length = error.shape[axis] - step
            if length > 0:
                ends = [
                    (tensor.narrow(axis, 0, length), tensor.narrow(axis, step, length)) for tensor in (error, valid)
                ]
                (here, there), (here_valid, there_valid) = ends
                terms.append(masked_mean((there - here).abs(), here_valid & there_valid))
    return sum(terms[1:], start=terms[0]) / len(STEPS_PX)
