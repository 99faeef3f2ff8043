"""A backend without hardware: a floor in every frame, whatever the graph. For tests of the layers above."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from mde_runtime.backends import Arrays, Graph, Session
from mde_runtime.precision import Precision

FAR_M, NEAR_M = 2.0, 1.0  # the top row and the bottom row


def open(graph: Graph, variant: str, num_threads: int | None) -> Session:  # noqa: ARG001  the seam of every backend
    """Open nothing."""
    return NullSession()


class NullSession:
    """Answers as an exported graph does: `depth_m` and `num_nonfinite` for `frame`."""

    executor = device = "null"
    max_batch: int | None = None
    arithmetic: Mapping[Precision, str] = {"fp32": "fp32", "fp16": "fp16", "int8": "int8"}

    def run(self, feeds: Mapping[str, npt.NDArray[Any]], out: Mapping[str, npt.NDArray[Any]] | None = None) -> Arrays:
        """Depth from 2 m in the top row to 1 m in the bottom row of every frame."""
        num_frames, height_px, width_px, _ = feeds["frame"].shape
        depth_m = out["depth_m"] if out else np.empty((num_frames, height_px, width_px), np.float32)
        num_nonfinite = out["num_nonfinite"] if out else np.empty(num_frames, np.int32)
        depth_m[:] = np.linspace(FAR_M, NEAR_M, height_px, dtype=np.float32)[:, None]
        num_nonfinite.fill(0)
        return {"depth_m": depth_m, "num_nonfinite": num_nonfinite}

    def close(self) -> None:
        """Nothing is held."""
