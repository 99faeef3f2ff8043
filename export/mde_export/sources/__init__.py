"""Sources of an export. A kind of source is one file with `open_source(request)` and one line in the table."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx_ir as ir

from mde_export.judge.evidence import Frames, ManyFrames, ManyMaps, Pictures
from mde_export.request import source_size
from mde_export.request.presets import PRESETS
from mde_export.request.request import Request
from mde_export.sources.pytorch_file import refuse_other_files
from mde_runtime import installation
from mde_runtime.bundle import Publication
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
    leaves_open: tuple[str, ...] = ()  # of those flags the ones that it takes all the same
    knows_frames: bool = True  # else the size of a camera's frames is that of --frames, or assumed
    extras: str = "export"  # that read it


CHECKPOINT = Kind(
    "mde_export.sources.checkpoint",
    refuses=("contract", "preset", "weights", "output", "source_size"),
    brings_contract=True,
    extras="export,train",
)
MODULE = Kind(
    "mde_export.sources.module", refuses=(), knows_frames=False, extras="export,train"
)  # package.module:build
HUGGING_FACE = Kind(  # hf:FOLDER, hf:ORG/NAME
    "mde_export.sources.hugging_face",
    refuses=("contract", "preset", "weights", "output"),
    brings_contract=True,
    leaves_open=("--colour", "--kind", "--range", "--distance"),
    knows_frames=False,
    extras="export,train,hf",
)
SUFFIXES = {  # of files; any other is a checkpoint
    ".onnx": Kind("mde_export.sources.onnx_file", refuses=("weights",), knows_frames=False),
    ".mde": Kind(
        "mde_export.sources.bundle", refuses=("contract", "preset", "weights", "output", "batch"), brings_contract=True
    ),
}


DepthOf = Callable[
    [ManyFrames, Callable[[], None]], tuple[ManyMaps, int]
]  # frames to metres, and how many were not finite


@dataclass(frozen=True, eq=False)
class Source:
    """A model to export: its network in ONNX, and itself as the reference that every graph is measured against."""

    origin: str  # checkpoint, onnx, module, hugging_face or bundle
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
    publication: Publication | None = None  # of a network that somebody published
    rendered: bool | None = None  # whether it was trained on rendered scenes only; None: unknown
    notes: tuple[str, ...] = ()  # for a person: what of the contract is assumed
    derived_from: Parity | None = None  # of the first FP32 graph that the reference comes from, to the original model


def precisions_of(source: Source, request: Request) -> list[Precision]:
    """What a bundle gets: FP32, what the source has and what is asked for."""
    return [name for name in PRECISIONS if name in ("fp32", *source.precisions, *request.precisions)]


def open_source(request: Request) -> Source:
    """Read a model. Raises BadInputError when it is none that we know, UsageError for a flag it has no use for.

    Raises MachineError where a library that reads it is not installed.
    """
    source_size.forget()
    path = Path(request.model)
    kind = _kind_of(request)
    if kind not in (MODULE, HUGGING_FACE) and not path.is_file():
        raise BadInputError(f"{path}: no such file; name a checkpoint, an ONNX file or a bundle")
    if kind == CHECKPOINT:
        refuse_other_files(path)
    said = [f"--{flag.replace('_', '-')}" for flag in kind.refuses if getattr(request, flag) is not None]
    if kind.brings_contract:
        said += [flag for flag in request.described.said if flag not in kind.leaves_open]
        said += ["--set"] if request.settings else []
    if said:
        raise UsageError(f"{request.model}: {said[0]} does not apply to this kind of model; leave it out")
    try:
        module = importlib.import_module(kind.module)
    except ImportError as error:
        raise MachineError(
            f"{request.model}: a library needed to read it is not installed ({error}); install it: "
            f"{installation.adding(kind.extras)}"
        ) from error
    source: Source = module.open_source(request)
    if request.preset is not None and PRESETS[request.preset].differs:
        source = replace(source, notes=(f"{request.preset}: {PRESETS[request.preset].differs}", *source.notes))
    if not kind.knows_frames and request.contract is None and request.source_size is None:
        _, note = source_size.source_size_of(None, request.frames)
        source = replace(source, notes=(note, *source.notes))
    return source


def _kind_of(request: Request) -> Kind:
    if request.is_published:
        return HUGGING_FACE
    return MODULE if request.is_module else SUFFIXES.get(Path(request.model).suffix.lower(), CHECKPOINT)
