"""The figures that a protocol gives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mde_runtime.errors import BadInputError


@dataclass(frozen=True)
class Figures:
    """Accuracy over a set of frames."""

    protocol: str
    num_frames: int
    values: dict[str, float]  # e.g. rmse_m, ssim: the plain mean of the parts
    parts: dict[str, tuple[float, ...]]  # one value a batch or a frame, as the protocol says: what an interval needs

    @classmethod
    def mean_of(cls, protocol: str, num_frames: int, parts: Mapping[str, Sequence[float]]) -> "Figures":
        """The figures whose values are the plain means of their parts. Raises BadInputError when there are none."""
        if not num_frames:
            raise BadInputError(f"protocol {protocol}: no frame was judged; an empty mean is not a score")
        return cls(
            protocol,
            num_frames,
            {name: float(np.mean(values)) for name, values in parts.items()},
            {name: tuple(values) for name, values in parts.items()},
        )


def check_judgeable(where: str, depth_m: npt.NDArray[np.floating]) -> None:
    """Raise BadInputError unless depth_m is an (H, W) map of finite numbers."""
    if depth_m.ndim != 2:
        raise BadInputError(f"{where}: depth of shape {depth_m.shape}; it must be (H, W)")
    if not np.isfinite(depth_m).all():
        raise BadInputError(f"{where}: the depth contains NaN or Inf; its error is undefined")
