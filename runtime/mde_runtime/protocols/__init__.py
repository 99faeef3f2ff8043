"""Protocols of accuracy: pixels, size and order of averaging. A figure without its protocol's name says nothing.

The same depth maps read 4.59 or 4.71 m RMSE by the way they are averaged. A new protocol is a file here and a line in
the table.
"""

from collections.abc import Callable
from functools import partial
from typing import Protocol

import numpy as np
import numpy.typing as npt

from mde_runtime.errors import UsageError
from mde_runtime.protocols.figures import Figures
from mde_runtime.protocols.masked import Masked, kitti_eigen_crop, kitti_garg_crop, nyu_crop
from mde_runtime.protocols.seed import Seed

__all__ = ["PROTOCOLS", "Accumulator", "Figures", "open_protocol"]


class Accumulator(Protocol):
    """Takes the frames of a split one by one, in the data's order, and gives the figures over all of them."""

    def add(self, depth_m: npt.NDArray[np.floating], truth_m: npt.NDArray[np.floating]) -> None:
        """Judge one frame. Both (H, W) metres; a truth of 0 is no measurement."""

    def result(self) -> Figures:
        """The figures over all frames added so far. Raises BadInputError when there were none."""


PROTOCOLS: dict[str, Callable[[], Accumulator]] = {
    "seed": partial(Seed, "seed", is_clipped=True),
    "seed-raw": partial(Seed, "seed-raw", is_clipped=False),
    "nyu": partial(Masked, "nyu", far_m=10.0, crop=nyu_crop),
    "kitti": partial(Masked, "kitti", far_m=80.0, crop=kitti_garg_crop),
    "kitti-eigen": partial(Masked, "kitti-eigen", far_m=80.0, crop=kitti_eigen_crop),
}


def open_protocol(name: str) -> Accumulator:
    """A fresh accumulator of the protocol. Raises UsageError that lists the names."""
    if name not in PROTOCOLS:
        raise UsageError(f"protocol {name!r}: not known; one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]()
