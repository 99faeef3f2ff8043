"""Images of ROS 2 as RGB: 8-bit colours, grey, Bayer patterns, YUV 4:2:2, and compressed pictures."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from mde_runtime.colour_orders import rgb_of_yuv
from mde_runtime.contract import MAX_SIDE_PX
from mde_runtime.errors import BadInputError
from mde_runtime.sources.pictures import DAMAGED_PICTURE, rgb_of

Bytes = npt.NDArray[np.uint8]


def rgb_of_image(message: Any) -> Bytes:  # Any: rosbags' Image
    """An Image as RGB uint8 (H, W, 3). Raises BadInputError for an encoding that is not read, and for damage."""
    height_px, width_px = int(message.height), int(message.width)
    if message.encoding not in ENCODINGS:
        raise BadInputError(
            f"encoding {message.encoding[:40]!r} is not supported; record one of {', '.join(ENCODINGS)}, or "
            "a CompressedImage"
        )
    num_bytes, decode = ENCODINGS[message.encoding]
    if not (0 < height_px <= MAX_SIDE_PX and 0 < width_px <= MAX_SIDE_PX):
        raise BadInputError(f"an image of {width_px}x{height_px} px; sides are 1 to {MAX_SIDE_PX} px")
    step = int(message.step)
    if step < width_px * num_bytes or len(message.data) < step * (height_px - 1) + width_px * num_bytes:
        raise BadInputError(
            f"an image of {width_px}x{height_px} px ({message.encoding}) with {len(message.data)} bytes, {step} a row, "
            "is cut short; record it again"
        )
    padded = np.zeros(step * height_px, np.uint8)
    padded[: len(message.data)] = message.data[: len(padded)]
    rows = padded.reshape(height_px, step)[:, : width_px * num_bytes]
    return decode(rows.reshape(height_px, width_px, num_bytes))


def rgb_of_compressed(message: Any) -> Bytes:  # Any: rosbags' CompressedImage
    """A CompressedImage, JPEG or PNG, as RGB uint8 (H, W, 3). Raises BadInputError for damage, and for depth."""
    if "compressedDepth" in message.format:
        raise BadInputError("a compressed depth image, not a picture; choose the topic of the camera's pictures")
    try:
        with Image.open(io.BytesIO(bytes(message.data)), formats=("JPEG", "PNG")) as image:
            return rgb_of(image)
    except DAMAGED_PICTURE as error:
        raise BadInputError(f"a compressed image that cannot be read ({error}); record it again") from error


def _channels(*order: int) -> Callable[[Bytes], Bytes]:
    return lambda pixels: np.ascontiguousarray(pixels[..., list(order)])


def _bayer(pattern: str) -> Callable[[Bytes], Bytes]:
    """pattern: the colours of the first two rows' first two pixels, row by row."""

    def decode(pixels: Bytes) -> Bytes:
        values = pixels[..., 0].astype(np.float32)
        rgb = np.empty((*values.shape, 3), np.uint8)
        for to, colour in enumerate("rgb"):
            has = np.zeros(values.shape, np.float32)
            for place, found in enumerate(pattern):
                if found == colour:
                    has[place // 2 :: 2, place % 2 :: 2] = 1
            between = _spread(values * has) / np.maximum(_spread(has), 1e-6)  # the mean of the neighbours that have it
            rgb[..., to] = np.rint(np.where(has > 0, values, between))
        return rgb

    return decode


def _spread(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Each pixel's weighted sum over its 3x3 neighbourhood, 1 2 1 by 1 2 1: bilinear between every second."""
    padded = np.pad(values, 1)
    across = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
    spread: npt.NDArray[np.float32] = across[:-2] + 2 * across[1:-1] + across[2:]
    return spread


def _yuv422(luma: int) -> Callable[[Bytes], Bytes]:
    """luma: the place of the brightness in each pair of bytes; the other holds Cb in even pixels and Cr in odd ones."""

    def decode(pixels: Bytes) -> Bytes:
        height_px, width_px, _ = pixels.shape
        if width_px % 2:
            raise BadInputError(f"YUV 4:2:2 of {width_px} columns is not possible; record an even number")
        pairs = pixels[..., 1 - luma].reshape(height_px, width_px // 2, 2).repeat(2, axis=1)
        rgb = np.empty((height_px, width_px, 3), np.uint8)
        rgb_of_yuv(pixels[..., luma], pairs[..., 0], pairs[..., 1], "bt601", rgb)  # as cv_bridge has it
        return rgb

    return decode


# Bytes a pixel, and how those become RGB.
ENCODINGS: dict[str, tuple[int, Callable[[Bytes], Bytes]]] = {
    "rgb8": (3, _channels(0, 1, 2)),
    "bgr8": (3, _channels(2, 1, 0)),
    "rgba8": (4, _channels(0, 1, 2)),
    "bgra8": (4, _channels(2, 1, 0)),
    "mono8": (1, _channels(0, 0, 0)),
    "bayer_rggb8": (1, _bayer("rggb")),
    "bayer_bggr8": (1, _bayer("bggr")),
    "bayer_gbrg8": (1, _bayer("gbrg")),
    "bayer_grbg8": (1, _bayer("grbg")),
    "yuv422": (2, _yuv422(luma=1)),
    "yuv422_yuy2": (2, _yuv422(luma=0)),
}
