"""Extreme frames: what no folder of pictures holds, and a camera meets all the same."""

import numpy as np

from mde_export.judge.evidence import Frames
from mde_runtime.contract import Contract

SEED = 0  # of the noise: any will do, but the same file is judged alike each time


def extreme_frames(contract: Contract) -> Frames:
    """Black, white, half of each, the three primaries and noise, (7, H, W, 3), at the contract's size.

    Small guards against division by 0, and functions with a jump, show here and nowhere else.
    """
    size = (contract.source.height_px, contract.source.width_px)
    frames = np.zeros((7, *size, 3), np.uint8)
    frames[1] = 255
    frames[2, :, size[1] // 2 :] = 255
    for channel in range(3):
        frames[3 + channel, ..., channel] = 255
    frames[6] = np.random.default_rng(SEED).integers(0, 256, (*size, 3), np.uint8)
    return frames
