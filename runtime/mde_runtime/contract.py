"""The contract: everything that a depth network expects and gives, with nothing left to guess.

Training, evaluation, export, runtime and bench all take their pre- and post-processing from a `Contract`.
It is checked once, at birth; after that nobody checks again. Every field is a decision, so none has a default.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from mde_runtime import records
from mde_runtime.errors import BadInputError

VERSION: Final = 2  # of the format; a file without the key is of version 1
MAX_FAR_M = 1e9  # beyond it squares of depth leave float32, and nobody measures
MAX_LEVEL = 255  # of a frame's colours, uint8
MAX_INPUT = 1.25 * MAX_LEVEL  # no network takes more than the camera's own levels; slack for a mean and for rounding
MAX_SIDE_PX = 16384  # a frame side beyond this is a corrupt file, not a camera: bounds memory before it is taken

ColourOrder = Literal["rgb", "bgr"]
Interpolation = Literal["bilinear", "bicubic", "area"]
MapInterpolation = Literal["bilinear", "bicubic"]  # of a map, which mostly gets larger
Resize = Literal["stretch", "letterbox", "crop", "pad"]
Kind = Literal["metric_depth", "inverse_depth", "log_depth", "relative_inverse_depth"]
Distance = Literal["z", "ray"]
Padding = Literal["reflect", "edge", "zero"]
Rounding = Literal["none", "uint8"]
Inversion = Literal["before_resize", "after_resize"]
Sides = tuple[int, int, int, int]  # top, left, bottom, right; px


@dataclass(frozen=True, kw_only=True)
class SourceFrame:
    """The frame as the camera gives it."""

    height_px: int
    width_px: int
    colour: ColourOrder
    dtype: Literal["uint8"]
    layout: Literal["NHWC"]

    def __post_init__(self) -> None:
        _check_sides("contract.source", self.height_px, self.width_px)


@dataclass(frozen=True, kw_only=True)
class ToNetwork:
    """What the network takes: (N, 3, height_px, width_px) float32 RGB, value = (frame * scale - mean) / std.

    pad_px (px of the frame) is added around it first, as `padding` says. resize says how the frame comes to the
    network's size: `stretch` (aspect not kept), `letterbox` (aspect kept, centred, the rest filled), `pad` (not
    resized, centred, the rest filled), `crop` (aspect kept, centred, what juts out is cut off).
    `zero`, of padding and fill, is 0 after the normalisation: what a convolution pads with, and the mean colour to the
    network. A number is a grey level of the frame, 0 to 255, before it.
    interpolation `area` is the mean of what an output pixel covers of the frame.
    rounding `uint8` rounds to whole levels after each pass of the resize, columns first; see `mde_runtime.resampling`.
    """

    height_px: int
    width_px: int
    multiple_of_px: int  # patch size of a ViT, total stride of a CNN
    resize: Resize
    interpolation: Interpolation
    antialias: bool
    align_corners: bool  # the corners' centres stay at the corners, in place of the pixels' outer edges
    rounding: Rounding
    pad_px: Sides
    padding: Padding | float
    fill: Literal["zero"] | float
    scale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __post_init__(self) -> None:
        _check_sides("contract.to_network", self.height_px, self.width_px)
        if self.multiple_of_px < 1:
            raise BadInputError(
                f"contract.to_network.multiple_of_px: {self.multiple_of_px} is less than 1; write 1 for any"
            )
        for side in (self.height_px, self.width_px):
            if side % self.multiple_of_px:
                raise BadInputError(
                    f"contract.to_network: {side} px is not a multiple of {self.multiple_of_px} px; "
                    f"the next is {side + -side % self.multiple_of_px} px"
                )
        _check_resize("contract.to_network", self.antialias, self.align_corners)
        if self.interpolation == "area" and not self.antialias:
            raise BadInputError(
                "contract.to_network.interpolation: area always averages; set antialias to true (--antialias)"
            )
        if self.rounding == "uint8" and self.interpolation == "area":
            raise BadInputError("contract.to_network.rounding: uint8 does not go with area; set rounding to none")
        if self.rounding == "uint8" and not self.antialias:
            raise BadInputError(
                "contract.to_network.rounding: uint8 needs antialias; set antialias to true, or rounding to none"
            )
        if min(self.pad_px) < 0:
            raise BadInputError(f"contract.to_network.pad_px: {self.pad_px} is negative; use 0 px or more on each side")
        for name, level in (("padding", self.padding), ("fill", self.fill)):
            if not isinstance(level, str) and not 0 <= level <= MAX_LEVEL:
                raise BadInputError(
                    f"contract.to_network.{name}: {level:g} is not a pixel value; write 0 to {MAX_LEVEL}"
                )
        _check_normalisation(self.scale, self.mean, self.std)


@dataclass(frozen=True, kw_only=True)
class FromNetwork:
    """What the network gives, (N, 1, h, w) or (N, h, w), and how it becomes z-depth or ray distance in metres.

    scale and shift act on the network's own quantity q first; then `metric_depth` is q metres, `inverse_depth` is
    1/q metres, `log_depth` is exp(q) metres, and `relative_inverse_depth` is refused until scale and shift were fitted
    to measured distances.
    covers is the part of the network's input that the output map covers (top, left, bottom, right; px).
    inversion says whether a map of inverse depth becomes metres before it is resized to the frame, or after.
    canonical_focal_px: None, or the focal length at the source size, px, for which the map is metric; with another
    camera metres are map * focal_px / canonical_focal_px.
    """

    kind: Kind
    unit: Literal["m"]
    near_m: float
    far_m: float
    distance: Distance
    covers: Sides
    interpolation: MapInterpolation
    antialias: bool
    align_corners: bool
    via_input: bool  # first to the size of the part of the input that the map covers, then to the frame's; else at once
    inversion: Inversion
    scale: float
    shift: float
    canonical_focal_px: float | None

    def __post_init__(self) -> None:
        if not 0 <= self.near_m < self.far_m <= MAX_FAR_M:
            swapped = f"; did you mean {self.far_m:g} to {self.near_m:g} m?" if self.near_m > self.far_m >= 0 else ""
            raise BadInputError(
                f"contract.from_network: near {self.near_m} m and far {self.far_m} m are not a range; 0 <= near < "
                f"far <= {MAX_FAR_M:g}{swapped}"
            )
        top, left, bottom, right = self.covers
        if not (0 <= top < bottom and 0 <= left < right):
            raise BadInputError(f"contract.from_network.covers: {self.covers} is empty; it is top, left, bottom, right")
        _check_resize("contract.from_network", self.antialias, self.align_corners)
        if self.canonical_focal_px is not None and self.canonical_focal_px <= 0:
            raise BadInputError(
                f"contract.from_network.canonical_focal_px: {self.canonical_focal_px:g} is not greater than 0 px; "
                "write the focal length used in training, or null"
            )
        if self.scale == 0:
            raise BadInputError("contract.from_network.scale: 0 would give the same depth everywhere; write 1 for none")

    @property
    def span_m(self) -> float:
        """far - near, metres: what tolerances and SSIM's constants go by."""
        return self.far_m - self.near_m

    @property
    def is_metric(self) -> bool:
        """Whether the output can be brought to metres: relative depth cannot until scale and shift were fitted."""
        return self.kind != "relative_inverse_depth" or (self.scale, self.shift) != (1.0, 0.0)


@dataclass(frozen=True, kw_only=True)
class Intrinsics:
    """A pinhole camera at the source size: focal lengths and principal point, px (pixel centres at whole numbers)."""

    fx_px: float
    fy_px: float
    cx_px: float
    cy_px: float

    def __post_init__(self) -> None:
        if self.fx_px <= 0 or self.fy_px <= 0:
            raise BadInputError("contract.intrinsics: focal lengths must be greater than 0 px; write the camera's")


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where the frame lies in the network's input: its size after the resize, and its corner (negative: cut off)."""

    height_px: int
    width_px: int
    top_px: int
    left_px: int


@dataclass(frozen=True, kw_only=True)
class Contract:
    """From the camera's frame to the network, and from the network to metres at the frame's size."""

    version: Literal[2] = VERSION
    source: SourceFrame
    to_network: ToNetwork
    from_network: FromNetwork
    intrinsics: Intrinsics | None  # None: the camera is not known

    def __post_init__(self) -> None:
        to_network = self.to_network
        _check_reflection(self)
        if to_network.resize == "pad":
            inner = (to_network.height_px, to_network.width_px)
            for side, inside in zip(self.padded_size, inner, strict=True):
                if not side <= inside < side + to_network.multiple_of_px:
                    raise BadInputError(
                        f"contract: {side} px pads to {side + -side % to_network.multiple_of_px} px "
                        f"(a multiple of {to_network.multiple_of_px}), not to {inside} px; write that"
                    )
        whole = (0, 0, to_network.height_px, to_network.width_px)
        if not self.from_network.via_input and (to_network.resize != "stretch" or self.from_network.covers != whole):
            raise BadInputError(
                "contract.from_network.via_input: false needs a frame stretched over the whole input and a map of "
                "all of it; write true"
            )
        _, _, bottom, right = self.from_network.covers
        if bottom > to_network.height_px or right > to_network.width_px:
            raise BadInputError(
                f"contract.from_network.covers: {self.from_network.covers} reaches beyond the network's input "
                f"of {to_network.height_px}x{to_network.width_px} px; write (0, 0, height, width) for all of it"
            )

    @property
    def padded_size(self) -> tuple[int, int]:
        """Height and width of the frame with pad_px around it, px: what is resized."""
        top, left, bottom, right = self.to_network.pad_px
        return self.source.height_px + top + bottom, self.source.width_px + left + right

    @property
    def placement(self) -> Placement:
        """Where the padded frame lies in the network's input."""
        to_network, padded = self.to_network, self.padded_size
        height, width = to_network.height_px, to_network.width_px
        if to_network.resize == "pad":
            height, width = padded
        elif to_network.resize != "stretch":
            choose = min if to_network.resize == "letterbox" else max
            factor = choose(height / padded[0], width / padded[1])
            height, width = (max(1, round(side * factor)) for side in padded)
        return Placement(
            height_px=height,
            width_px=width,
            top_px=_centred(to_network.height_px, height),
            left_px=_centred(to_network.width_px, width),
        )

    @property
    def seen(self) -> tuple[slice, slice]:
        """The rows and columns of the frame that the map covers. Depth is 0 m outside: the network never saw it."""
        placed, (height_px, width_px) = self.placement, self.padded_size
        top, left, bottom, right = self.from_network.covers
        rows = _covered(height_px, placed.height_px, top - placed.top_px, bottom - placed.top_px)
        columns = _covered(width_px, placed.width_px, left - placed.left_px, right - placed.left_px)
        pad_top, pad_left, _, _ = self.to_network.pad_px
        return _within(rows, pad_top, self.source.height_px), _within(columns, pad_left, self.source.width_px)

    @classmethod
    def loads(cls, text: str | bytes) -> "Contract":
        """Read a `contract.json` of any version. Raises BadInputError that names the key at fault."""
        return records.from_json(cls, current(records.parse(text, "contract")), "contract")


# What version 1 could not say, and meant.
SINCE_2: dict[str, dict[str, Any]] = {  # Any: JSON
    "to_network": {
        "align_corners": False,
        "rounding": "none",
        "pad_px": [0, 0, 0, 0],
        "padding": "zero",
        "fill": "zero",
    },
    "from_network": {
        "align_corners": False,
        "via_input": True,
        "inversion": "before_resize",
        "canonical_focal_px": None,
    },
}


def current(value: Any) -> Any:  # Any: JSON that nobody has checked yet
    """The JSON of a contract of any version as that of today's. What is no contract is left to whoever reads it."""
    if not isinstance(value, dict) or "version" in value:
        return value
    raised = {part: {**value[part], **fields} for part, fields in SINCE_2.items() if isinstance(value.get(part), dict)}
    return {"version": VERSION, **value, **raised}


def _centred(outer: int, inner: int) -> int:
    """The offset that centres `inner` in `outer`; rounds towards 0 on both signs, so pad and crop mirror each other."""
    return int((outer - inner) / 2)


def _covered(size_px: int, placed_px: int, begin_px: int, end_px: int) -> slice:
    """The pixels of a side whose centre lies in [begin, end) when the side is spread over `placed_px`."""
    centres = [(index + 0.5) * (placed_px / size_px) for index in range(size_px)]
    return slice(sum(centre < begin_px for centre in centres), size_px - sum(centre >= end_px for centre in centres))


def _within(seen: slice, before_px: int, side_px: int) -> slice:
    """Of a padded side's pixels those of the side itself, counted from its own first one."""
    start, stop = (min(max(bound - before_px, 0), side_px) for bound in (seen.start, seen.stop))
    return slice(start, stop)


def _check_resize(where: str, antialias: bool, align_corners: bool) -> None:
    if antialias and align_corners:
        raise BadInputError(f"{where}: antialias and align_corners exclude each other; set one of them to false")


def _check_reflection(contract: "Contract") -> None:
    """A reflection without the border pixel itself is at most a side less one pixel long."""
    source, to_network = contract.source, contract.to_network
    longest = max(to_network.pad_px[::2]), max(to_network.pad_px[1::2])
    for side, pad in zip((source.height_px, source.width_px), longest, strict=True):
        if to_network.padding == "reflect" and pad >= side:
            raise BadInputError(f"contract.to_network.pad_px: {pad} px cannot be reflected from {side} px; pad less")


def _check_sides(where: str, height_px: int, width_px: int) -> None:
    for name, side in (("height_px", height_px), ("width_px", width_px)):
        if not 1 <= side <= MAX_SIDE_PX:
            raise BadInputError(f"{where}.{name}: {side} is not between 1 and {MAX_SIDE_PX}; write the size in px")


def _check_normalisation(scale: float, mean: Sequence[float], std: Sequence[float]) -> None:
    """Whether (frame * scale - mean) / std makes something of levels 0 to 255 that a network could have trained on.

    Means and standard deviations are written in colour levels as often as from 0 to 1; taken for the other, they leave
    the network with next to no picture or with one that is far too strong, and every comparison agrees with it.
    """
    if scale <= 0:
        raise BadInputError(
            f"contract.to_network.scale: {scale:g} is not greater than 0; write the value used in training"
        )
    if min(std) <= 0:
        raise BadInputError(
            f"contract.to_network.std: {_listed(std)} must be greater than 0; write 1,1,1 if training did not divide"
        )
    brightest = MAX_LEVEL * scale
    # Legitimate ones lie within the range or near it: (frame - 128) / 256, or a mean that puts all above 0.
    if min(mean) < -brightest or max(mean) > 2 * brightest:
        raise BadInputError(_on_another_scale("mean", mean, scale))
    if max(std) > 2 * brightest:
        raise BadInputError(_on_another_scale("std", std, scale))
    largest = max(max(abs(centre), abs(brightest - centre)) / spread for centre, spread in zip(mean, std, strict=True))
    if largest > MAX_INPUT:
        raise BadInputError(
            f"contract.to_network: (frame * {scale:g} - mean) / std gives the network values up to {largest:.4g}, "
            f"more than a camera's {MAX_LEVEL}; write scale {1 / MAX_LEVEL:.6g} (1/{MAX_LEVEL}) where mean and std "
            "are of "
            "colours from 0 to 1, or the std used in training"
        )


def _on_another_scale(key: str, values: Sequence[float], scale: float) -> str:
    """The complaint about values that were not written on the scale of frame * scale, with the likely correction."""
    brightest = MAX_LEVEL * scale
    meant = [value * scale for value in values]
    is_in_levels = min(meant) >= 0 and max(meant) <= brightest
    remedy = f"did you mean {_listed(meant)}?" if is_in_levels else "write the values used in training"
    return f"contract.to_network.{key}: {_listed(values)}, where colours go from 0 to {brightest:g}; {remedy}"


def _listed(values: Sequence[float]) -> str:
    return ",".join(f"{value:.5g}" for value in values)
