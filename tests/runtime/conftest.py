import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import click.testing
import numpy as np
import pytest
from PIL import Image

from mde_runtime.bundle import stored_zip


@pytest.fixture
def command() -> Callable[..., click.testing.Result]:
    """Run a command as a terminal would: `command(main, "verb", path)` gives exit_code, stdout and stderr."""

    def run(main: click.Command, *arguments: object) -> click.testing.Result:
        return click.testing.CliRunner().invoke(main, [str(argument) for argument in arguments])

    return run


@pytest.fixture
def save_picture() -> Callable[..., Path]:
    """Write a frame as a lossless picture, with an EXIF orientation where one is given."""

    def save(path: Path, frame: np.ndarray, orientation: int | None = None) -> Path:
        image = Image.fromarray(frame)
        exif = Image.Exif()
        if orientation is not None:
            exif[0x0112] = orientation
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, exif=exif)
        return path

    return save


@pytest.fixture
def numpy_cuda(monkeypatch):
    """CUDA on the host, for the logic above it."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    from numpy_cuda import NumpyCuda

    return NumpyCuda


@pytest.fixture
def half_of(numpy_cuda):  # noqa: ARG001  it lies beside this
    """The engine that runs there: it halves 8 values."""
    from numpy_cuda import HalfOf

    return HalfOf


@pytest.fixture
def with_provenance():
    """A function that changes what a bundle's manifest says of its origin."""

    def change(path, **changes):
        with zipfile.ZipFile(path) as archive:
            content = {name: archive.read(name) for name in archive.namelist()}
        manifest = json.loads(content["manifest.json"])
        manifest["provenance"] |= changes
        path.write_bytes(stored_zip({**content, "manifest.json": json.dumps(manifest).encode()}))

    return change
