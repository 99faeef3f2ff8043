"""Depth as a 16-bit grey PNG in millimetres, as most depth tools read it; 0 is no measurement."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from mde_runtime.errors import BadInputError
from mde_runtime.files import replacing
from mde_runtime.sinks import Prediction, Write, Writing, file_of

MAX_MM = 65535


@contextlib.contextmanager
def writer(out: Path, writing: Writing) -> Iterator[Write]:  # noqa: ARG001  every sink's seam
    """Write `NAME.depth.png` below `out`. A depth beyond 65.535 m is an error: it would come back as another one."""

    def write(prediction: Prediction) -> Path:
        check_millimetres(prediction)
        millimetres = np.round(prediction.depth_m.astype(np.float64) * 1000)
        path = file_of("png16", out, prediction.name)
        with replacing(path) as draft:
            Image.fromarray(millimetres.astype(np.uint16)).save(draft)
        return path

    yield write


def check_millimetres(prediction: Prediction) -> None:
    """Raise BadInputError where depth does not fit 16 bits of millimetres; NaN does not fit either."""
    nearest_mm, farthest_mm = (round(float(end) * 1000) if np.isfinite(end) else np.inf for end in _ends(prediction))
    if not 0 <= nearest_mm <= farthest_mm <= MAX_MM:
        raise BadInputError(
            f"{prediction.name}: depth up to {prediction.depth_m.max():.3f} m does not fit 16 bits of millimetres "
            f"(0 to {MAX_MM / 1000} m); write it in metres, as npy or bag"
        )


def _ends(prediction: Prediction) -> tuple[np.float32, np.float32]:
    return prediction.depth_m.min(), prediction.depth_m.max()
