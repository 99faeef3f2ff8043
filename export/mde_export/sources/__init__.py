"""Sources of an export. A kind of source is one file with `open_source(request)` and one line in the table."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx_ir as ir

from mde_export.judge.evidence import Depth, Frames, Pictures
from mde_export.request import Request
from mde_export.sources.pytorch_file import refuse_other_files
from mde_runtime.contract import Contract
from mde_runtime.errors import BadInputError, MachineError, UsageError
from mde_runtime.parity import Parity
from mde_runtime.precision import PRECISIONS, Precision


@dataclass(frozen=True)
class Kind:
    """A row of the tables: the module that has `open_source(request)`, and the fields of a request that it refuses."""

    module: str
    refuses: tuple[str, ...]
    brings_contract: bool = False  # so that the flags of a contract are refused as well
    extras: str = "export"  # that read it


CHECKPOINT = Kind(
    "mde_export.sources.checkpoint",
    refuses=("contract", "weights", "output", "source_size"),
    brings_contract=True,
    extras="export,train",
)
MODULE = Kind("mde_export.sources.module", refuses=(), extras="export,train")  # package.module:build
SUFFIXES = {  # of files; any other is a checkpoint
    ".onnx": Kind("mde_export.sources.onnx_file", refuses=("weights",)),
    ".mde": Kind("mde_export.sources.bundle", refuses=("contract", "weights", "output", "batch"), brings_contract=True),
}


DepthOf = Callable[[Frames, Callable[[], None]], tuple[Depth, int]]  # frames to metres, and how many were not finite


@dataclass(frozen=True, eq=False)
class Source:
    """A model to export: its network in ONNX, and itself as the reference that every graph is measured against."""

    origin: str  # checkpoint, onnx, module or bundle
    model: str  # its name
    sha256: str  # of the file
    data_sha256: str | None
    recipe: Any  # JSON, which only travels here
    contract: Contract  # before scale and shift are set
    network: Callable[[], ir.Model]  # makes the graph without stages: seconds, so not before the frames are known good
    pictures: Pictures | None  # that it brings along
    reference: str  # what `depth_by` runs, in words
    depth_by: Callable[[Contract], DepthOf]  # the model itself with the stages of a contract
    tools: dict[str, str]  # name to version of what makes `network`
    precisions: tuple[Precision, ...] = ()  # beside FP32, that it already has
    # Why the FP32 graph is another, on a frame, and what to do; None: unknown.
    first_difference: Callable[[Frames], str] | None = None
    derived_from: Parity | None = None  # of the first FP32 graph that the reference comes from, to the original model


def precisions_of(source: Source, request: Request) -> list[Precision]:
    """What a bundle gets: FP32, what the source has and what is asked for."""
    return [name for name in PRECISIONS if name in ("fp32", *source.precisions, *request.precisions)]


def open_source(request: Request) -> Source:
    """Read a model. Raises BadInputError when it is none that we know, UsageError for a flag it has no use for.

    Raises MachineError where a library that reads it is not installed.
    """
    path = Path(request.model)
    kind = MODULE if request.is_module else SUFFIXES.get(path.suffix.lower(), CHECKPOINT)
    if not request.is_module and not path.is_file():
        raise BadInputError(f"{path}: no such file; name a checkpoint, an ONNX file or a bundle")
    if kind == CHECKPOINT:
        refuse_other_files(path)
    said = [f"--{flag.replace('_', '-')}" for flag in kind.refuses if getattr(request, flag) is not None]
    if kind.brings_contract:
        said += request.described.said
    if said:
        raise UsageError(f"{request.model}: {said[0]} is not for this kind of model; leave it out")
    try:
        module = importlib.import_module(kind.module)
    except ImportError as error:
        raise MachineError(
            f"{request.model}: a library that reads it is missing ({error}); install it: pip install "
            f"'mde-toolchain[{kind.extras}]'"
        ) from error
    source: Source = module.open_source(request)
    return source
