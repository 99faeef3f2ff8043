"""One picture of how training stands: input, truth, prediction and error, side by side."""

import numpy as np
import numpy.typing as npt

from mde_runtime.colours import with_scale
from mde_runtime.contract import FromNetwork
from mde_runtime.strip import strip

ERROR_LIMIT_M = 5.0  # blue and red at their darkest: so much too near, so much too far


def panel(
    frame: npt.NDArray[np.uint8],
    truth_m: npt.NDArray[np.float32],
    depth_m: npt.NDArray[np.float32],
    from_network: FromNetwork,
) -> npt.NDArray[np.uint8]:
    """RGB: a frame, its true depth, predicted depth and error, all (H, W), with the depth's scale below.

    A truth of 0 or NaN is no measurement: its error is grey.
    """
    is_valid = truth_m > 0
    ends_m = from_network.near_m, from_network.far_m
    truth_m, depth_m = (np.clip(values, *ends_m) for values in (truth_m, depth_m))
    pictures = strip(frame, truth_m, depth_m, is_valid, ends_m, ERROR_LIMIT_M)
    return with_scale(np.concatenate(pictures, axis=1), ends_m)
