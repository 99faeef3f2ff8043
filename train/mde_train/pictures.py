"""One picture of how training stands: input, truth, prediction and error, side by side."""

import numpy as np
import numpy.typing as npt

from mde_runtime.colours import coloured, with_scale
from mde_runtime.contract import FromNetwork

ERROR_RANGE_M = 5.0  # an error of 5 m and more is the palette's dark end


def panel(
    frame: npt.NDArray[np.uint8],
    truth_m: npt.NDArray[np.float32],
    depth_m: npt.NDArray[np.float32],
    from_network: FromNetwork,
) -> npt.NDArray[np.uint8]:
    """RGB: a frame, its true depth, predicted depth and |error|, all (H, W), with the depth's scale below."""
    truth_m, depth_m = (np.clip(values, from_network.near_m, from_network.far_m) for values in (truth_m, depth_m))
    depths = [coloured(values, from_network.near_m, from_network.far_m) for values in (truth_m, depth_m)]
    error = coloured(np.abs(depth_m - truth_m), 0.0, ERROR_RANGE_M)
    return with_scale(np.concatenate((frame, *depths, error), axis=1), from_network)
