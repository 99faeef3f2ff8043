"""The request of an export: the command line, checked and typed, and the contract that its flags make."""

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from mde_export.request.choices import Accumulation, EngineChoice, GoldenFrames
from mde_export.request.presets import PRESETS, Preset
from mde_export.request.source_size import source_size_of
from mde_runtime import files, records
from mde_runtime.bundle import SUFFIX
from mde_runtime.contract import VERSION, ColourOrder, Contract, Distance, Interpolation, Kind, Resize
from mde_runtime.errors import BadInputError, UsageError
from mde_runtime.precision import Precision

PUBLISHED = "hf:"  # what a published network's name begins with

Batch = tuple[int, int, int]
Size = tuple[int, int]  # height, width; px
Colours = tuple[float, float, float]

PIXEL_SCALE = 1 / 255  # mean and std are in the units of colours from 0 to 1, as training code writes them


@dataclass(frozen=True)
class Described:
    """What the flags say; None is what they do not. Nothing has a default: a guess would be wrong metres."""

    network_size: Size | None = None  # of the network's input
    colour: ColourOrder | None = None  # of the camera's frame
    resize: Resize | None = None
    interpolation: Interpolation | None = None  # to the network, and of its map back to the frame
    antialias: bool | None = None
    mean: Colours | None = None
    std: Colours | None = None
    kind: Kind | None = None
    range_m: tuple[float, float] | None = None
    distance: Distance | None = None

    @property
    def names(self) -> list[str]:
        """The fields that were given."""
        return [field.name for field in fields(self) if getattr(self, field.name) is not None]

    @property
    def said(self) -> list[str]:
        """The flags that were given."""
        return [_flag(name) for name in self.names]


@dataclass(frozen=True)
class Request:
    """An export. None is what was not asked for."""

    model: str  # a file, `package.module:build`, or a published network: `hf:FOLDER`, `hf:ORG/NAME@REVISION`
    out: Path | None = None  # None: beside the model, with its stem
    precisions: tuple[Precision, ...] = ()  # beside FP32, and beside those that a bundle already holds
    frames: Path | None = None  # a data set or a folder of pictures to judge with
    contract: Path | None = None  # for a model that brings none
    described: Described = field(default_factory=Described)  # the same, flag by flag
    preset: str | None = None  # a key of `presets.PRESETS`: what neither graph nor flags say
    weights: Path | None = None  # for a module
    output: str | None = None  # which output of an ONNX graph or a module is the map: its name or index
    source_size: Size | None = None  # another size of the camera's frame
    scale: float | None = None  # of the network's quantity, fitted to a camera
    shift: float | None = None
    focal_px: float | None = None  # of the camera at the source size, for a network that is metric for one alone
    measured: Path | None = None  # distances to fit scale and shift to: a CSV file, or a data set with depth
    batch: Batch | None = None  # frames at once: fewest, usual, most; None: one
    target: str | None = None  # a key of `targets.TARGETS`; None: what all of them read
    accumulation: Accumulation = "float"  # of FP16's products; half: it must pass with sums in half as well
    engine: EngineChoice = "auto"
    golden: GoldenFrames = "heldout"  # the frames that go into the bundle; synth: rendered, private data
    emit: Path | None = None  # a folder for the plain graphs, the contract and the engine
    emit_core: Path | None = None  # a folder for the bare network and its inputs, for vendors' compilers
    keep_rejected: Path | None = None  # a folder for a graph that fails, and a report on it

    @property
    def is_published(self) -> bool:
        """Whether the model is a published network, `hf:FOLDER` or `hf:ORG/NAME`."""
        return self.model.startswith(PUBLISHED) and not Path(self.model).exists()

    @property
    def is_module(self) -> bool:
        """Whether the model is a Python function and not a file."""
        return ":" in self.model and not self.is_published and not Path(self.model).exists()

    @property
    def bundle(self) -> Path:
        """Where the bundle goes."""
        if self.out is not None:
            return self.out
        if self.is_published:
            name, _, _revision = self.model.removeprefix(PUBLISHED).partition("@")
            return Path(f"{Path(name).resolve().name}{SUFFIX}")
        if self.is_module:
            return Path(f"{self.model.partition(':')[0].rpartition('.')[2]}{SUFFIX}")
        return Path(self.model).with_suffix(SUFFIX)

    @property
    def most_at_once(self) -> int:
        """How many frames a graph must take at once."""
        return 1 if self.batch is None else self.batch[2]

    def calibrated(self, contract: Contract) -> Contract:
        """The contract with the scale and shift that were asked for."""
        from_network = contract.from_network
        scale = from_network.scale if self.scale is None else self.scale
        shift = from_network.shift if self.shift is None else self.shift
        return replace(contract, from_network=replace(from_network, scale=scale, shift=shift))


def contract_of(request: Request, graph_size: Size | None) -> Contract:
    """The contract of --contract, or of the flags. graph_size: the network's input, where its graph says it.

    Raises UsageError that names every flag that is missing, BadInputError for what contradicts itself.
    """
    described = request.described
    if request.contract is not None:
        given = {"--source-size": request.source_size, "--preset": request.preset}
        if too_many := [*described.said, *(flag for flag, value in given.items() if value)]:
            raise UsageError(f"{request.model}: --contract says it all; leave {', '.join(too_many)} out")
        return _read(request.contract)
    preset = PRESETS[request.preset] if request.preset else None
    if preset:
        described = Described(**{**preset.described, **{name: getattr(described, name) for name in described.names}})
    network_size = described.network_size or graph_size or (preset.network_size if preset else None)
    needed = {**vars(described), "network_size": network_size}
    if missing := [_flag(name) for name, value in needed.items() if value is None]:
        raise UsageError(
            f"{request.model}: does not say by itself what it expects and gives; say {', '.join(missing)}, or all of "
            "it with --contract FILE (docs/formats.md)"
        )
    assert network_size is not None
    source_size, _ = source_size_of(request.source_size, request.frames)
    return _assembled(described, source_size, network_size, preset)


def _assembled(described: Described, source_size: Size, network_size: Size, preset: Preset | None) -> Contract:
    """Through JSON, so that every value is checked as one of a file is."""
    said = records.to_json(vars(described))
    near_m, far_m = said["range_m"]
    both_ways = {"interpolation": said["interpolation"], "antialias": said["antialias"], "align_corners": False}
    before = {"rounding": "none", "pad_px": [0, 0, 0, 0], "padding": "zero", "fill": "zero"}
    source = dict(zip(("height_px", "width_px"), source_size, strict=True))
    inside = dict(zip(("height_px", "width_px"), network_size, strict=True))
    normalisation = {"scale": PIXEL_SCALE, "mean": said["mean"], "std": said["std"]}
    content: dict[str, Any] = {  # Any: JSON
        "version": VERSION,
        "source": {**source, "colour": said["colour"], "dtype": "uint8", "layout": "NHWC"},
        "to_network": {**inside, "multiple_of_px": 1, "resize": said["resize"], **both_ways, **before, **normalisation},
        "from_network": {
            **{"kind": said["kind"], "unit": "m", "near_m": near_m, "far_m": far_m, "distance": said["distance"]},
            **{
                "covers": [0, 0, *network_size],
                **both_ways,
                "via_input": True,
                "inversion": "before_resize",
                "scale": 1.0,
                "shift": 0.0,
            },
            "canonical_focal_px": None,
        },
        "intrinsics": None,
    }
    if preset:
        content["to_network"] |= preset.into
        content["from_network"] |= preset.out_of
        if preset.canonical_focal_px:
            content["from_network"]["canonical_focal_px"] = preset.canonical_focal_px(source_size, network_size)
    return records.from_json(Contract, content, "contract")


def _read(file: Path) -> Contract:
    try:
        return Contract.loads(files.read_small(file))
    except OSError as error:
        raise BadInputError(f"{file}: {error.strerror}; name a contract.json (docs/formats.md)") from error


def _flag(name: str) -> str:
    return f"--{name.removesuffix('_m').replace('_', '-')}"
