"""The law of a published network: its bundle gives what its publisher's pipeline gives, on any picture of its size."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from lab.public_networks.publisher import Depth, Frame
from mde_runtime.contract import FromNetwork

RANGE_SHARE = 5e-4  # RMSE over the range: the tolerance T of every certificate
STD_SHARE = 0.01  # RMSE over the standard deviation of the publisher's depth


@dataclass(frozen=True)
class Distance:
    """How far a picture's depth is from the publisher's."""

    rmse_m: float
    std_m: float  # of the publisher's depth
    span_m: float

    @property
    def keeps_the_law(self) -> bool:
        """Whether both limits hold. A NaN breaks them."""
        return self.rmse_m <= RANGE_SHARE * self.span_m and self.rmse_m <= STD_SHARE * self.std_m


def distance(ours_m: Depth, theirs_m: Depth, from_network: FromNetwork) -> Distance:
    """Of one picture."""
    rmse_m = float(np.sqrt(np.mean((ours_m.astype(np.float64) - theirs_m) ** 2)))
    return Distance(rmse_m, float(theirs_m.std()), from_network.span_m)


def worst(distances: list[Distance]) -> Distance:
    """The one that is nearest to breaking the law, or breaks it most."""
    return max(
        distances, key=lambda one: max(one.rmse_m / (RANGE_SHARE * one.span_m), one.rmse_m / (STD_SHARE * one.std_m))
    )


def compared(
    ours: Callable[[Frame], Depth], theirs: Callable[[Frame], Depth], pictures: list[Frame], from_network: FromNetwork
) -> list[Distance]:
    """Every picture through both."""
    return [distance(ours(picture), theirs(picture), from_network) for picture in pictures]


def random_picture(size: tuple[int, int], chance: np.random.Generator) -> Frame:
    """Patches of colour with sharp edges and some noise: what an error in resizing, rounding or padding shows on."""
    height, width = size
    cells = chance.integers(0, 256, (max(2, height // 24), max(2, width // 24), 3), np.uint8)
    large = np.asarray(Image.fromarray(cells).resize((width, height), Image.Resampling.NEAREST), np.int16)
    noisy: npt.NDArray[np.int16] = large + chance.integers(-12, 13, large.shape, np.int16)
    return noisy.clip(0, 255).astype(np.uint8)
