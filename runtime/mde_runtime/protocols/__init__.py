"""Protocols of accuracy: pixels, size and order of averaging. A figure without its protocol's name says nothing.

The same depth maps read 4.59 or 4.71 m RMSE by the way they are averaged. A new protocol is a file here and a line in
the table. Light to load: --help shows it.
"""

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from mde_runtime.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from mde_runtime.protocols.figures import Figures


class Accumulator(Protocol):
    """Takes the frames of a split one by one, in the data's order, and gives the figures over all of them."""

    def add(self, depth_m: "npt.NDArray[np.floating]", truth_m: "npt.NDArray[np.floating]") -> None:
        """Judge one frame. Both (H, W) metres; a truth of 0 is no measurement."""

    def result(self) -> "Figures":
        """The figures over all frames added so far. Raises BadInputError when there were none."""


@dataclass(frozen=True)
class ProtocolRow:
    """A row of the table: the module that has `accumulator(name, span_m)`, and a line for --help."""

    module: str
    help: str


AUTO = "auto"  # the protocol of a data set's layout
PROTOCOLS = {
    "plain": ProtocolRow("mde_runtime.protocols.plain", "your own data: per frame, unmeasured pixels masked"),
    "seed": ProtocolRow("mde_runtime.protocols.seed", "RMSE and SSIM at 224x224 px, depth and truth clipped to 20 m"),
    "seed-raw": ProtocolRow("mde_runtime.protocols.seed", "the same, depth as the model gives it"),
    "nyu": ProtocolRow("mde_runtime.protocols.masked", "NYU Depth V2, to 10 m, per frame, Eigen's crop"),
    "kitti": ProtocolRow("mde_runtime.protocols.masked", "KITTI, to 80 m, per frame, Garg's crop"),
    "kitti-eigen": ProtocolRow("mde_runtime.protocols.masked", "KITTI, to 80 m, per frame, Eigen's crop"),
}


def open_protocol(name: str, span_m: float | None = None) -> Accumulator:
    """A fresh accumulator of the protocol. span_m: far - near of the model that is judged, where there is one.

    Raises UsageError that lists the names.
    """
    if name not in PROTOCOLS:
        raise UsageError(f"protocol {name!r}: unknown; choose from {', '.join(PROTOCOLS)}")
    accumulator: Accumulator = importlib.import_module(PROTOCOLS[name].module).accumulator(name, span_m)
    return accumulator
