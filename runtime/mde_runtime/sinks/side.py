"""The picture and its coloured depth side by side, with a scale in metres: to see at a glance whether they agree."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from mde_runtime.colours import coloured_with_scale
from mde_runtime.files import replacing
from mde_runtime.sinks import Prediction, Write, Writing, file_of


@contextlib.contextmanager
def writer(out: Path, writing: Writing) -> Iterator[Write]:
    """Write `NAME.side.png` below `out`."""

    def write(prediction: Prediction) -> Path:
        ends_m = writing.colouring.ends_of(prediction.depth_m, writing.range_m)
        right = coloured_with_scale(prediction.depth_m, ends_m, writing.colouring.direction)
        left = np.full_like(right, 255)
        left[: len(prediction.picture)] = prediction.picture
        path = file_of("side", out, prediction.name)
        with replacing(path) as draft:
            Image.fromarray(np.concatenate([left, right], axis=1)).save(draft)
        return path

    yield write
