"""Depth as a coloured picture with a scale in metres: for people, not for programs."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from mde_runtime.colours import coloured_with_scale
from mde_runtime.files import replacing
from mde_runtime.sinks import Prediction, Write, Writing, file_of


@contextlib.contextmanager
def writer(out: Path, writing: Writing) -> Iterator[Write]:
    """Write `NAME.colour.png` below `out`, coloured over the range of all depth that can come."""

    def write(prediction: Prediction) -> Path:
        ends_m = writing.colouring.ends_of(prediction.depth_m, writing.range_m)
        picture = coloured_with_scale(prediction.depth_m, ends_m, writing.colouring.direction)
        path = file_of("colour", out, prediction.name)
        with replacing(path) as draft:
            Image.fromarray(picture).save(draft)
        return path

    yield write
