"""Depth as colours for people: near is bright, far is dark unless asked, and lightness falls evenly all the way.

So it survives a grey printer and most colour blindness. Near is bright as MiDaS and its successors draw; the papers
that this project grew from draw far bright, which is `far-bright`. A scale in metres belongs to it, over the contract's
range unless asked, so that a colour is the same distance in all pictures of a model.
"""

import functools
import math

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from mde_runtime.colouring import Ends
from mde_runtime.inferno import RGB, Direction

UNSEEN = (96, 96, 96)  # grey is no depth: the network gave none there
SCALE_HEIGHT_PX = 26


def coloured(
    depth_m: npt.NDArray[np.floating], near_m: float, far_m: float, direction: Direction = "near-bright"
) -> npt.NDArray[np.uint8]:
    """RGB (H, W, 3) of a depth map (H, W) in metres; a depth of exactly 0 with near > 0 is no measurement: grey."""
    share = np.clip((depth_m - near_m) / (far_m - near_m), 0.0, 1.0)
    colours: npt.NDArray[np.uint8] = palette(direction)[(np.nan_to_num(share) * 255).round().astype(np.uint8)]
    unseen = ~np.isfinite(depth_m) | ((depth_m == 0) & (near_m > 0))
    colours[unseen] = UNSEEN
    return colours


def coloured_with_scale(
    depth_m: npt.NDArray[np.floating], ends_m: Ends, direction: Direction = "near-bright"
) -> npt.NDArray[np.uint8]:
    """RGB of a depth map (H, W) in metres, with a scale in metres below it. ends_m: where the palette begins and ends.

    A depth of exactly 0 is no measurement where the ends are above it: grey.
    """
    return with_scale(coloured(depth_m, *ends_m, direction), ends_m, direction)


def with_scale(
    picture: npt.NDArray[np.uint8], ends_m: Ends, direction: Direction = "near-bright"
) -> npt.NDArray[np.uint8]:
    """The picture (H, W, 3) with a scale in metres below it, from ends_m[0] to ends_m[1]."""
    height_px, width_px, _ = picture.shape
    canvas = Image.new("RGB", (width_px, height_px + SCALE_HEIGHT_PX), "white")
    canvas.paste(Image.fromarray(picture))
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=11)
    near_m, far_m = ends_m
    depth_m = np.linspace(near_m or 1e-9, far_m, width_px, dtype=np.float32)[None].repeat(9, 0)
    ramp = coloured(depth_m, near_m, far_m, direction)
    canvas.paste(Image.fromarray(ramp), (0, height_px + 2))
    for metres in ticks(near_m, far_m, most=max(2, width_px // 45)):
        x = (metres - near_m) / (far_m - near_m) * (width_px - 1)
        text = f"{metres:g} m"
        length = draw.textlength(text, font)
        draw.line((x, height_px + 11, x, height_px + 13), "black")
        draw.text((min(max(x - length / 2, 0), width_px - length), height_px + 13), text, "black", font)
    return np.asarray(canvas)


def ticks(near_m: float, far_m: float, most: int) -> list[float]:
    """Round distances from near to far, at most so many, in steps of 1, 2 or 5 times a power of ten."""
    step = round_up((far_m - near_m) / (most - 1))
    first = math.ceil(near_m / step - 1e-9)
    return [float(f"{index * step:.12g}") for index in range(first, math.floor(far_m / step + 1e-9) + 1)]


def round_up(value: float) -> float:
    """The next of 1, 2 and 5 times a power of ten that is no smaller."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value * (1 - 1e-9))


@functools.cache
def palette(direction: Direction = "near-bright") -> npt.NDArray[np.uint8]:
    """The 256 colours from near to far, (256, 3)."""
    dark_to_bright = np.frombuffer(RGB, np.uint8).reshape(256, 3)
    return dark_to_bright[::-1] if direction == "near-bright" else dark_to_bright
