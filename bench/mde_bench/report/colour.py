"""Strips of pictures, errors as colours, pictures in a page, and the scale that says what their colours mean."""

import base64
import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from mde_runtime.colours import coloured, palette
from mde_runtime.contract import FromNetwork

Rgb = npt.NDArray[np.uint8]
Maps = npt.NDArray[np.floating]

NEAR_TO_FAR = tuple(f"#{bytes(colour).hex()}" for colour in palette()[::15])  # 18 stops of a gradient
TOO_NEAR_TO_TOO_FAR = ("#1f4e9c", "#5b8fd0", "#b4d0ea", "#f5f3ee", "#f0bf9c", "#d67a4f", "#9c3420")
MAX_WIDTH_PX = 480  # of a picture in the report: sharp on a phone, and the page stays small


def error_colours(error_m: Maps, limit_m: float, valid: npt.NDArray[np.bool_]) -> Rgb:
    """A signed error (H, W) as colours: blue is too near, red is too far, grey was not measured."""
    colours = _through(TOO_NEAR_TO_TOO_FAR, (error_m / limit_m + 1) / 2)
    colours[~valid] = 128
    return colours


def strip(
    rgb: Rgb, truth_m: Maps, depth_m: Maps, valid: npt.NDArray[np.bool_], from_network: FromNetwork, limit_m: float
) -> tuple[Rgb, Rgb, Rgb, Rgb]:
    """A frame (H, W, 3) beside its truth, its depth and their difference, (H, W) metres, all as colours.

    truth_m may be another model's depth. limit_m: the difference at the ends of the scale of error.
    """
    depths = [coloured(values, from_network.near_m, from_network.far_m) for values in (truth_m, depth_m)]
    return rgb, depths[0], depths[1], error_colours(depth_m - truth_m, limit_m, valid)


def picture(colours: Rgb, label: str) -> str:
    """An image element that holds its picture."""
    image = Image.fromarray(colours)
    if image.width > MAX_WIDTH_PX:
        image = image.resize((MAX_WIDTH_PX, round(image.height * MAX_WIDTH_PX / image.width)), Image.Resampling.BOX)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    content = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="{label}" width="{image.width}" height="{image.height}" src="data:image/png;base64,{content}">'


def scale(colours: tuple[str, ...], marks: tuple[str, ...]) -> str:
    """A bar of the colours with marks evenly below it, from end to end."""
    said = "".join(f"<span>{mark}</span>" for mark in marks)
    return (
        f'<div class="scale"><div style="background:linear-gradient(to right,{",".join(colours)})"></div>'
        f"<p>{said}</p></div>"
    )


def _through(anchors: tuple[str, ...], share: Maps) -> Rgb:
    """Colours between the anchors, by a share of 0 to 1."""
    table = np.asarray([[int(anchor[i : i + 2], 16) for i in (1, 3, 5)] for anchor in anchors], np.float64)
    place = np.clip(share, 0, 1) * (len(anchors) - 1)
    channels = [np.interp(place, np.arange(len(anchors)), table[:, channel]) for channel in range(3)]
    colours: Rgb = np.stack(channels, axis=-1).round().astype(np.uint8)
    return colours
