"""A contract from the command line: what a network expects and gives, flag by flag, for models that bring none."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mde_runtime import records
from mde_runtime.contract import Contract
from mde_runtime.errors import BadInputError, UsageError

if TYPE_CHECKING:
    from mde_export.request import Request

Size = tuple[int, int]  # height, width; px
Colours = tuple[float, float, float]

PIXEL_SCALE = 1 / 255  # mean and std are in the units of colours from 0 to 1, as training code writes them


@dataclass(frozen=True)
class Described:
    """What the flags say; None is what they do not. Nothing has a default: a guess would be wrong metres."""

    network_size: Size | None = None  # of the network's input
    colour: Literal["rgb", "bgr"] | None = None  # of the camera's frame
    resize: Literal["stretch", "letterbox", "crop"] | None = None
    interpolation: Literal["bilinear", "bicubic"] | None = None  # to the network, and of its map back to the frame
    antialias: bool | None = None
    mean: Colours | None = None
    std: Colours | None = None
    kind: Literal["metric_depth", "inverse_depth", "relative_inverse_depth"] | None = None
    range_m: tuple[float, float] | None = None
    distance: Literal["z", "ray"] | None = None

    @property
    def said(self) -> list[str]:
        """The flags that were given."""
        return [_flag(field.name) for field in fields(self) if getattr(self, field.name) is not None]


def contract_of(request: "Request", graph_size: Size | None) -> Contract:
    """The contract of --contract, or of the flags. graph_size: the network's input, where its graph says it.

    Raises UsageError that names every flag that is missing, BadInputError for what contradicts itself.
    """
    described = request.described
    if request.contract is not None:
        if too_many := [*described.said, *(["--source-size"] if request.source_size else [])]:
            raise UsageError(f"{request.model}: --contract says it all; leave {', '.join(too_many)} out")
        return _read(request.contract)
    network_size = described.network_size or graph_size
    needed = {"source_size": request.source_size, **vars(described), "network_size": network_size}
    if missing := [_flag(name) for name, value in needed.items() if value is None]:
        raise UsageError(
            f"{request.model}: does not say by itself what it expects and gives; say {', '.join(missing)}, or all of "
            "it with --contract FILE (docs/formats.md)"
        )
    assert request.source_size is not None
    assert network_size is not None
    return _assembled(described, request.source_size, network_size)


def _assembled(described: Described, source_size: Size, network_size: Size) -> Contract:
    """Through JSON, so that every value is checked as one of a file is."""
    said = records.to_json(vars(described))
    near_m, far_m = said["range_m"]
    both_ways = {"interpolation": said["interpolation"], "antialias": said["antialias"]}
    source = dict(zip(("height_px", "width_px"), source_size, strict=True))
    inside = dict(zip(("height_px", "width_px"), network_size, strict=True))
    normalisation = {"scale": PIXEL_SCALE, "mean": said["mean"], "std": said["std"]}
    content = {
        "source": {**source, "colour": said["colour"], "dtype": "uint8", "layout": "NHWC"},
        "to_network": {**inside, "multiple_of_px": 1, "resize": said["resize"], **both_ways, **normalisation},
        "from_network": {
            **{"kind": said["kind"], "unit": "m", "near_m": near_m, "far_m": far_m, "distance": said["distance"]},
            **{"covers": [0, 0, *network_size], **both_ways, "scale": 1.0, "shift": 0.0},
        },
        "intrinsics": None,
    }
    return records.from_json(Contract, content, "contract")


def _read(file: Path) -> Contract:
    try:
        return Contract.loads(file.read_bytes())
    except OSError as error:
        raise BadInputError(f"{file}: {error.strerror}; name a contract.json (docs/formats.md)") from error


def _flag(name: str) -> str:
    return f"--{name.removesuffix('_m').replace('_', '-')}"
