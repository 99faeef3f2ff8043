"""Frames through a model, one thread a core: on a shared machine threads inside a convolution wait for one another.

A frame alone is computed on one thread, so its depth does not depend on how many cores there are.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from mde_export.evidence import Depth, Frames
from mde_runtime.machine import this_machine

MAX_WORKERS = 8  # each holds a whole network's activations

FrameDepth = Callable[[Frames], tuple[Depth, int]]  # (1, H, W, 3) to (H, W) metres, and how many were not finite


def depth_of_all(depth_of: FrameDepth, frames: Frames, moved_on: Callable[[], None]) -> tuple[Depth, int]:
    """Depth of (N, H, W, 3) frames, (N, H, W), and how many values were NaN or Inf in all. moved_on: called a frame."""
    single: Sequence[Frames] = [frames[index : index + 1] for index in range(len(frames))]
    maps, num_nonfinite = [], 0
    pool = ThreadPoolExecutor(min(MAX_WORKERS, this_machine().num_cores))
    try:
        for depth_m, num_bad in pool.map(depth_of, single):
            maps.append(depth_m)
            num_nonfinite += num_bad
            moved_on()
    finally:
        pool.shutdown(cancel_futures=True)  # Ctrl-C waits for the frames that are running, not for all of them
    return np.stack(maps), num_nonfinite
