"""A publisher's pre- and post-processing in the words of a contract: what the families have in common.

The figures are those that the processor and the configuration hold once transformers has read their files.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mde_export.request.request import Size
from mde_runtime.contract import Inversion, Kind, MapInterpolation, Padding, Rounding, Sides, ToNetwork
from mde_runtime.errors import BadInputError

INTERPOLATIONS: dict[int, MapInterpolation] = {2: "bilinear", 3: "bicubic"}  # by Pillow's number, as files have it
SEARCHED_PX = 64  # how far around a size another one is looked for
Processor = Any  # of transformers, whose processors have no common type for their settings
Configuration = Any  # the same of their networks


@dataclass(frozen=True, kw_only=True)
class FromPublisher:
    """What becomes of a network's map. kind, range_m (near and far, m): None where the publisher does not say."""

    kind: Kind | None
    range_m: tuple[float, float] | None
    interpolation: MapInterpolation
    align_corners: bool = False
    inversion: Inversion = "before_resize"
    assumed_far_m: float | None = None  # where range_m is None: a far end to assume and to show as assumed
    canonical_focal_px: Callable[[Size, Size], float] | None = None  # by the sizes of frame and network
    differs: str = ""  # what the bundle does otherwise, to be said


@dataclass(frozen=True, kw_only=True)
class Resizing:
    """How a family's processor resizes."""

    antialias: bool
    rounding: Rounding = "none"
    align_corners: bool = False
    pad_px: Sides = (0, 0, 0, 0)
    padding: Padding = "reflect"


LEVELS = Resizing(antialias=True, rounding="uint8")  # torchvision on the picture's own whole levels


class PredictedDepth(nn.Module):
    """A depth network of transformers that gives its map alone."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, h, w) to (N, h, w)."""
        depth: Tensor = self.model(pixel_values=x).predicted_depth
        return depth


def to_network(processor: Processor, size: Size, how: Resizing, multiple_px: int = 1) -> ToNetwork:
    """The frame stretched to `size`, normalised as the processor says."""
    height_px, width_px = size
    if min(size) < 1:
        raise BadInputError(f"its processor makes {height_px}x{width_px} of the frame; use larger frames")
    is_multiple = multiple_px > 1 and not (height_px % multiple_px or width_px % multiple_px)
    scale, mean, std = _normalisation(processor)
    return ToNetwork(
        height_px=height_px,
        width_px=width_px,
        multiple_of_px=multiple_px if is_multiple else 1,
        resize="stretch",
        interpolation=interpolation_of(processor),
        antialias=how.antialias,
        align_corners=how.align_corners,
        rounding=how.rounding,
        pad_px=how.pad_px,
        padding=how.padding,
        fill="zero",
        scale=scale,
        mean=mean,
        std=std,
    )


def _normalisation(processor: Processor) -> tuple[float, tuple[float, float, float], tuple[float, float, float]]:
    scale = float(processor.rescale_factor) if processor.do_rescale else 1.0
    if not processor.do_normalize:
        return scale, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    return scale, _three(processor.image_mean), _three(processor.image_std)


def _three(values: Iterable[float]) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue


def interpolation_of(processor: Processor) -> MapInterpolation:
    """The processor's resample. Raises BadInputError for one that a contract cannot say."""
    number = int(processor.resample)
    if number not in INTERPOLATIONS:
        raise BadInputError(
            f"its processor resizes with Pillow's filter {number}; a contract can express 2 (bilinear) and 3 (bicubic)"
        )
    return INTERPOLATIONS[number]


def target_size(processor: Processor) -> Size:
    """Height and width that the processor aims at. Raises BadInputError where it aims at something else."""
    size = processor.size
    if size is None or not size.height or not size.width:
        raise BadInputError(f"its processor's size is {size}; a contract needs one of height and width")
    return int(size.height), int(size.width)


def fitted_size(source: Size, target: Size, is_aspect_kept: bool, multiple_px: float) -> Size:
    """The size that a frame is resized to: the target, with the side that changes less leading where the aspect stays.

    Each side is the multiple nearest to it. Source: the size rule of MiDaS, which DPT's and ZoeDepth's processors have.
    """
    down, across = (wanted / side for wanted, side in zip(target, source, strict=True))
    if is_aspect_kept:
        down = across = across if abs(1 - across) < abs(1 - down) else down
    height, width = (
        round(factor * side / multiple_px) * multiple_px for factor, side in zip((down, across), source, strict=True)
    )
    return int(height), int(width)


def check_unpadded(processor: Processor, source: Size, size_of: Callable[[Size], Size]) -> None:
    """Raises BadInputError where the processor pads frames of this size: it never takes the padding out of the map.

    size_of: the network's input for a frame, without the padding.
    """
    if not processor.do_pad:
        return
    divisor = int(processor.size_divisor or 1)

    def fits(frame: Size) -> bool:
        return min(frame) > 0 and not any(side % divisor for side in size_of(frame))

    if fits(source):
        return
    steps = range(-SEARCHED_PX, SEARCHED_PX + 1)
    around = ((source[0] + down, source[1] + across) for down in steps for across in steps)
    nearest = min(
        filter(fits, around), key=lambda size: abs(size[0] - source[0]) + abs(size[1] - source[1]), default=None
    )
    remedy = f"give frames of {nearest[0]}x{nearest[1]} (--source-size)" if nearest else "use other frames"
    raise BadInputError(
        f"its processor pads what comes of {source[0]}x{source[1]} to multiples of {divisor} px and stretches the map "
        f"with the padding; {remedy}"
    )


def whole(multiple: float | None) -> int:
    """A processor's ensure_multiple_of as whole px: some have a fraction of one, which binds nothing."""
    return max(1, int(multiple or 1))


def degrees_to_width(field_of_view: Tensor) -> Tensor:
    """The picture's width over the focal length, 2 tan(fov / 2), of a field of view in degrees."""
    return 2 * torch.tan(torch.deg2rad(field_of_view) / 2)
