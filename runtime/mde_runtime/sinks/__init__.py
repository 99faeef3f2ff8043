"""What depth is written as. A format is one file and one line in the table."""

import importlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mde_runtime.contract import Contract
from mde_runtime.errors import UsageError

SINKS = {
    "npy": "mde_runtime.sinks.npy",
    "png16": "mde_runtime.sinks.png16",
    "colour": "mde_runtime.sinks.colour",
}


@dataclass(frozen=True)
class Prediction:
    """A picture and its depth, both at the picture's own size."""

    name: str  # of the result, without a suffix
    picture: npt.NDArray[np.uint8]  # RGB (H, W, 3)
    depth_m: npt.NDArray[np.float32]  # (H, W), 0: no measurement


Write = Callable[[Prediction], Path]  # gives the file that holds the result


def open_sink(kind: str, out: Path, contract: Contract) -> AbstractContextManager[Write]:
    """A format's writer, for the time of a `with` block. Raises UsageError for an unknown format."""
    if kind not in SINKS:
        raise UsageError(f"no format {kind!r}; there are {', '.join(SINKS)}")
    sink: AbstractContextManager[Write] = importlib.import_module(SINKS[kind]).writer(out, contract)
    return sink
