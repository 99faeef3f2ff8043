"""A choice of colours for depth: which end is bright, and which depths the palette runs over. Light to load."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mde_runtime.inferno import Direction

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Ends = tuple[float, float]
AUTO_PERCENTILES = (2.0, 98.0)  # of a frame's own depth: what is beyond takes the colour of the end
NARROWEST = 0.02  # of an automatic range, in depths: a wall straight ahead would show nothing but noise


@dataclass(frozen=True)
class Colouring:
    """How depth is coloured. ends_m: `whole` range (a colour is one depth in all pictures), `auto` or near and far."""

    direction: Direction = "near-bright"
    ends_m: Ends | Literal["whole", "auto"] = "whole"

    def ends_of(self, depth_m: "npt.NDArray[np.floating]", range_m: Ends) -> Ends:
        """The depths of a map (H, W), metres, at the two ends of the palette. range_m: of all depth that can come."""
        if isinstance(self.ends_m, tuple):
            return self.ends_m
        return range_m if self.ends_m == "whole" else ends_of_depth(depth_m, range_m)


def ends_of_depth(depth_m: "npt.NDArray[np.floating]", whole: Ends = (0.0, 1.0)) -> Ends:
    """The depths that a map (H, W) spans, metres, by `AUTO_PERCENTILES`; whole: for a map without a depth."""
    import numpy as np

    seen = depth_m[np.isfinite(depth_m) & (depth_m > 0)]
    if not seen.size:
        return whole
    near_m, far_m = (float(end) for end in np.percentile(seen, AUTO_PERCENTILES))
    if far_m - near_m < NARROWEST * far_m:
        near_m, far_m = near_m * (1 - NARROWEST), far_m * (1 + NARROWEST)
    return near_m, far_m


PLAIN = Colouring()
