"""Depth as a numpy array: float32 metres, exactly what the estimator gave."""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mde_runtime.files import write_bytes
from mde_runtime.sinks import Prediction, Write, Writing, file_of


@contextlib.contextmanager
def writer(out: Path, writing: Writing) -> Iterator[Write]:  # noqa: ARG001  every sink's seam
    """Write `NAME.npy` below `out`."""

    def write(prediction: Prediction) -> Path:
        path = file_of("npy", out, prediction.name)
        content = io.BytesIO()  # numpy writing to a file itself hides that a disk is full
        np.save(content, prediction.depth_m, allow_pickle=False)
        write_bytes(path, content.getvalue())
        return path

    yield write
