"""A strip of pictures: a frame beside its true depth, its depth and their difference, all as colours."""

import numpy as np
import numpy.typing as npt

from mde_runtime.colouring import Ends
from mde_runtime.colours import coloured

Rgb = npt.NDArray[np.uint8]
Maps = npt.NDArray[np.floating]

TOO_NEAR_TO_TOO_FAR = ("#1f4e9c", "#5b8fd0", "#b4d0ea", "#f5f3ee", "#f0bf9c", "#d67a4f", "#9c3420")


def error_colours(error_m: Maps, limit_m: float, valid: npt.NDArray[np.bool_]) -> Rgb:
    """A signed error (H, W) as colours: blue is too near, red is too far, grey was not measured."""
    colours = _through(TOO_NEAR_TO_TOO_FAR, (error_m / limit_m + 1) / 2)
    colours[~valid] = 128
    return colours


def strip(
    rgb: Rgb, truth_m: Maps, depth_m: Maps, valid: npt.NDArray[np.bool_], ends_m: Ends, limit_m: float
) -> tuple[Rgb, Rgb, Rgb, Rgb]:
    """A frame (H, W, 3) beside its truth, its depth and their difference, (H, W) metres, all as colours.

    truth_m may be another model's depth. ends_m: the depths at the palette's ends. limit_m: the difference at the ends
    of the scale of error.
    """
    depths = [coloured(values, *ends_m) for values in (truth_m, depth_m)]
    return rgb, depths[0], depths[1], error_colours(depth_m - truth_m, limit_m, valid)


def _through(anchors: tuple[str, ...], share: Maps) -> Rgb:
    """Colours between the anchors, by a share of 0 to 1."""
    table = np.asarray([[int(anchor[i : i + 2], 16) for i in (1, 3, 5)] for anchor in anchors], np.float64)
    place = np.clip(share, 0, 1) * (len(anchors) - 1)
    channels = [np.interp(place, np.arange(len(anchors)), table[:, channel]) for channel in range(3)]
    colours: Rgb = np.stack(channels, axis=-1).round().astype(np.uint8)
    return colours
