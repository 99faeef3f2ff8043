"""Probing frames: what a camera may send beyond the user's own frames, for finding how large values become.

A certificate is measured on the user's frames. The contract allows every value from 0 to 255, so a network whose
frames were taken at dusk will meet daylight.
"""

import numpy as np

from mde_export.judge.evidence import Evidence, Frames
from mde_export.judge.extremes import extreme_frames
from mde_runtime.evenly_spaced import evenly_spaced

NUM_OWN_FRAMES = 5  # of the user's, as they are
NUM_VARIED_FRAMES = 2  # of the user's, each in three variants
DARKER = 8  # times darker: a street lamp for a cloudy day


def probing_frames(evidence: Evidence) -> Frames:
    """The user's frames, some of them at the ends of exposure and contrast, and the extreme frames. (N, H, W, 3)."""
    frames = evidence.pictures.frames
    own = frames[evenly_spaced(len(frames), NUM_OWN_FRAMES)]
    varied = [variant for frame in own[evenly_spaced(len(own), NUM_VARIED_FRAMES)] for variant in variants_of(frame)]
    return np.concatenate([own, np.stack(varied), extreme_frames(evidence.contract)])


def variants_of(frame: Frames) -> Frames:
    """A frame as bright as a camera can show it, with the highest contrast, and DARKER times darker. (3, H, W, 3)."""
    values = frame.astype(np.float32)
    least, largest = values.min(), max(values.max(), 1.0)
    brighter = values * (255 / largest)
    contrast = (values - least) * (255 / max(largest - least, 1.0))
    return np.stack([np.rint(variant).astype(np.uint8) for variant in (brighter, contrast, values / DARKER)])
