"""Frames in another order of colours than the contract's, converted because the caller said what they are.

A frame's order cannot be seen in it: BGR taken for RGB gives depth that is a little wrong everywhere. So nothing is
ever guessed, and what needs more than an order (16 bits, floats) is refused.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mde_runtime.contract import SourceFrame
from mde_runtime.errors import BadInputError, UsageError

Bytes = npt.NDArray[np.uint8]
YUV_WEIGHTS = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}  # of red and blue; source: ITU-R


def one_spelling(colour: str | None, color: str | None) -> str | None:
    """The order of colours, whichever way the keyword was spelt. Raises UsageError where the two differ."""
    if colour is not None and color is not None and colour != color:
        raise UsageError(f"colour={colour!r} and color={color!r} are one option; give it once")
    return color if colour is None else colour


@dataclass(frozen=True)
class ColourOrder:
    """How a frame of (height, width) px lies in memory, and how it becomes RGB."""

    shape: Callable[[int, int], tuple[int, ...]]
    write_rgb: Callable[[Bytes, Bytes], None]  # (frame, into): into is (H, W, 3)


def _reordered(*channels: int) -> Callable[[Bytes, Bytes], None]:
    def write(frame: Bytes, into: Bytes) -> None:
        for to, channel in enumerate(channels):
            into[..., to] = frame[..., channel]

    return write


def _grey(frame: Bytes, into: Bytes) -> None:
    into[...] = frame[..., None]


def _nv12(standard: str) -> Callable[[Bytes, Bytes], None]:
    """NV12: luma (H, W), then interleaved Cb and Cr at half the size, all limited to 16..235 and 16..240.

    Source: ITU-R BT.601 and BT.709, whose weights of red and blue differ; the caller says which.
    """

    def write(frame: Bytes, into: Bytes) -> None:
        height_px, width_px, _ = into.shape
        chroma = frame[height_px:].reshape(height_px // 2, width_px // 2, 2).repeat(2, axis=0).repeat(2, axis=1)
        rgb_of_yuv(frame[:height_px], chroma[..., 0], chroma[..., 1], standard, into)

    return write


def rgb_of_yuv(luma: Bytes, cb: Bytes, cr: Bytes, standard: str, into: Bytes) -> None:
    """Write limited-range YUV, (H, W) each, into (H, W, 3) as RGB. standard: `bt601` or `bt709`."""
    red_weight, blue_weight = YUV_WEIGHTS[standard]
    bright = (luma.astype(np.float32) - 16) * (255 / 219)
    to_blue, to_red = ((chroma.astype(np.float32) - 128) * (255 / 224) for chroma in (cb, cr))
    red, blue = bright + 2 * (1 - red_weight) * to_red, bright + 2 * (1 - blue_weight) * to_blue
    green = (bright - red_weight * red - blue_weight * blue) / (1 - red_weight - blue_weight)
    for to, colour in enumerate((red, green, blue)):
        into[..., to] = np.clip(np.rint(colour), 0, 255)


ORDERS = {
    "rgb": ColourOrder(lambda height, width: (height, width, 3), _reordered(0, 1, 2)),
    "bgr": ColourOrder(lambda height, width: (height, width, 3), _reordered(2, 1, 0)),
    "rgba": ColourOrder(lambda height, width: (height, width, 4), _reordered(0, 1, 2)),
    "bgra": ColourOrder(lambda height, width: (height, width, 4), _reordered(2, 1, 0)),
    "grey": ColourOrder(lambda height, width: (height, width), _grey),
    "nv12-bt601": ColourOrder(lambda height, width: (height * 3 // 2, width), _nv12("bt601")),
    "nv12-bt709": ColourOrder(lambda height, width: (height * 3 // 2, width), _nv12("bt709")),
}


ORDERS["gray"] = ORDERS["grey"]


def convert(frame: object, order: str, source: SourceFrame, into: Bytes) -> None:
    """Write a frame of a declared order into `into`, uint8 (H, W, 3) in the contract's order.

    Raises UsageError for an unknown order, BadInputError for a frame that is not laid out so.
    """
    if order not in ORDERS:
        raise UsageError(f"unknown colour order {order!r}; choose from {', '.join(ORDERS)}")
    shape = ORDERS[order].shape(source.height_px, source.width_px)
    if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or frame.shape != shape:
        found = f"{frame.dtype} {frame.shape}" if isinstance(frame, np.ndarray) else type(frame).__name__
        raise BadInputError(f"the frame is {found}; {order} at the bundle's size is uint8 {shape}")
    if order.startswith("nv12") and (source.height_px % 2 or source.width_px % 2):
        raise BadInputError(
            f"{order} needs even sides, and the bundle takes {source.height_px}x{source.width_px}; pass rgb or bgr"
        )
    ORDERS[order].write_rgb(frame, into if source.colour == "rgb" else into[..., ::-1])
