"""The frames where a model is best, in the middle and worst: what is worth looking at."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

NUM_EACH = 2


@dataclass(frozen=True, eq=False)
class Shot:
    """A frame (H, W, 3) in RGB, its true and predicted depth (H, W) in metres, and where the truth was measured."""

    title: str
    rgb: npt.NDArray[np.uint8]
    truth_m: npt.NDArray[np.floating]
    depth_m: npt.NDArray[np.floating]
    valid: npt.NDArray[np.bool_]


def extremes(rmse_m: Sequence[float]) -> dict[int, str]:
    """What to show of so many frames: index and what it is, best first; fewer where there are few. NaN is left out."""
    order = [int(index) for index in np.argsort(rmse_m, kind="stable") if not np.isnan(rmse_m[index])]
    middle = max(0, (len(order) - NUM_EACH) // 2)
    groups = {"worst": order[-NUM_EACH:], "median": order[middle : middle + NUM_EACH], "best": order[:NUM_EACH]}
    titles = {index: title for title, indices in groups.items() for index in indices}
    return {index: titles[index] for index in order if index in titles}
