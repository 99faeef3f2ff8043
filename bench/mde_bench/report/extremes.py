"""One picture of the frames where a model is best, in the middle and worst: input, truth, depth, error."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mde_bench.accuracy.extremes import Shot
from mde_runtime import files
from mde_runtime.colouring import Ends
from mde_runtime.colours import with_scale
from mde_runtime.errors import UsageError
from mde_runtime.strip import Rgb, strip

ERROR_LIMIT_M = 5.0  # the same in all sheets, so that two models can be laid side by side
LINE_PX, MARGIN_PX, FONT_PX = 18, 4, 12
HEADINGS = ("input", "truth", "depth", f"error: blue {ERROR_LIMIT_M:g} m too near, red {ERROR_LIMIT_M:g} m too far")
SUFFIXES = (".png", ".jpg", ".jpeg")


def check_format(path: Path) -> None:
    """Raise UsageError for a name that is neither PNG's nor JPEG's."""
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{path}: a picture is written as {', '.join(SUFFIXES)}; give one of these endings")


def write_sheet(shots: Sequence[Shot], range_m: Ends, path: Path) -> None:
    """Write the picture, a row a shot. range_m: of the model's depth."""
    rows = [_row(shot, range_m) for shot in shots]
    headings = [(text, column * rows[0].shape[1] // len(HEADINGS)) for column, text in enumerate(HEADINGS)]
    parts = [_written(headings, rows[0].shape[1])]
    for shot, row in zip(shots, rows, strict=True):
        parts += [_written([(shot.title, 0)], row.shape[1]), row]
    picture = Image.fromarray(with_scale(np.concatenate(parts), range_m))
    with files.replacing(path) as draft:
        picture.save(draft)


def _row(shot: Shot, range_m: Ends) -> Rgb:
    truth_m, depth_m = (np.clip(values, *range_m) for values in (shot.truth_m, shot.depth_m))
    return np.concatenate(strip(shot.rgb, truth_m, depth_m, shot.valid, range_m, ERROR_LIMIT_M), axis=1)


def _written(texts: list[tuple[str, int]], width_px: int) -> Rgb:
    """A line of texts, each from its own column of pixels."""
    line = Image.new("RGB", (width_px, LINE_PX), "white")
    draw, font = ImageDraw.Draw(line), ImageFont.load_default(size=FONT_PX)
    for text, left_px in texts:
        draw.text((left_px + MARGIN_PX, 1), text, "black", font)
    return np.asarray(line)
