"""How right: depth against ground truth, under a named protocol."""

import numpy as np
import numpy.typing as npt

from mde_runtime.protocols import Figures, open_protocol

Maps = npt.NDArray[np.floating]


def accuracy_of(depth_m: Maps, truth_m: Maps, protocol: str) -> Figures:
    """The figures of (N, H, W) depth against truth, in the data's order."""
    accumulator = open_protocol(protocol)
    for depth, truth in zip(depth_m, truth_m, strict=True):
        accumulator.add(depth, truth)
    return accumulator.result()
