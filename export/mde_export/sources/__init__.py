"""What can be exported. A kind of source is one file with `open_source(path)` and one line in the table."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx_ir as ir

from mde_export.evidence import Depth, Frames, Pictures
from mde_runtime.contract import Contract
from mde_runtime.errors import BadInputError

SOURCES = {  # by the file's suffix; what has another is taken for a checkpoint, whose reader says if it is none
    "checkpoint": "mde_export.sources.checkpoint",
}


@dataclass(frozen=True, eq=False)
class Source:
    """A model to export: its network in ONNX, and itself as the reference that every graph is measured against."""

    origin: str  # a key of SOURCES
    model: str  # its name
    sha256: str  # of the file
    data_sha256: str | None
    recipe: Any  # JSON, which only travels here
    contract: Contract
    network: Callable[[], ir.Model]  # makes the graph without stages: seconds, so not before the frames are known good
    pictures: Pictures | None  # that it brings along
    reference: str  # what `depth` runs, in words
    depth: Callable[[Frames, Callable[[], None]], tuple[Depth, int]]  # frames to metres, and how many were not finite
    tools: dict[str, str]  # name to version of what makes `network`


def open_source(path: Path) -> Source:
    """Read a model. Raises BadInputError when the file is none that we know."""
    if not path.exists():
        raise BadInputError(f"{path}: no such file")
    source: Source = importlib.import_module(SOURCES["checkpoint"]).open_source(path)
    return source
