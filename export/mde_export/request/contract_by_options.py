"""The contract of a network that brings none: read from --contract, or put together from options, preset and file.

What decides metres is asked for. What pictures and file give is read there, and what nearly every network shares is
assumed and said.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from mde_export.request.choices import ASSUMED
from mde_export.request.described import Described, as_typed
from mde_export.request.normalisations import NORMALISATIONS
from mde_export.request.presets import PRESETS, Preset
from mde_export.request.request import Request, Size
from mde_export.request.source_size import source_size_of
from mde_runtime import files, records
from mde_runtime.contract import VERSION, Contract, Kind, Resize, current
from mde_runtime.errors import BadInputError, UsageError
from mde_runtime.settings import apply

PIXEL_SCALE = 1 / 255  # mean and std are in the units of colours from 0 to 1, as training code writes them

KEYS_ASSUMED = {
    "colour": ["source.colour"],
    "interpolation": ["to_network.interpolation", "from_network.interpolation"],
    "antialias": ["to_network.antialias", "from_network.antialias"],
    "distance": ["from_network.distance"],
}

# Of what has to be said: its key of the contract, and how it is written.
ASKED = {
    "resize": ("to_network.resize", f"--resize {'|'.join(name for name in get_args(Resize) if name != 'pad')}"),
    "mean": ("to_network.mean", f"--mean {'|'.join(NORMALISATIONS)}|R,G,B"),
    "std": ("to_network.std", "--std R,G,B"),
    "kind": ("from_network.kind", f"--kind {'|'.join(get_args(Kind))}"),
    "range_m": ("from_network.far_m", "--range NEAR:FAR"),
}


def contract_of(request: Request, graph_size: Size | None) -> tuple[Contract, list[str]]:
    """The contract, and in words what of it was assumed. graph_size: the network's input, where its graph says it.

    Raises UsageError that names every option that is missing, BadInputError for what contradicts itself.
    """
    if request.contract is not None:
        given = {"--source-size": request.source_size, "--preset": request.preset}
        if too_many := [*request.described.said, *(flag for flag, value in given.items() if value)]:
            raise UsageError(f"{request.model}: --contract already covers these; leave {', '.join(too_many)} out")
        content = _read(request.contract)
        apply(content, request.settings)
        return records.from_json(Contract, content, "contract"), []
    preset = PRESETS[request.preset] if request.preset else None
    said = {} if preset is None else dict(preset.described)
    described = request.described.spelt_out
    said |= {name: getattr(described, name) for name in described.names}
    assumed = {name: value for name, value in ASSUMED.items() if name not in said}
    network_size = described.network_size or graph_size or (preset.network_size if preset else None)
    source_size, _ = source_size_of(request.source_size, request.frames)
    content = _content(Described(**{**said, **assumed}), source_size, network_size, preset)
    apply(content, request.settings)
    if missing := list(_missing(content, network_size, said)):
        raise UsageError(
            f"{request.model}: does not describe its inputs and outputs; pass {', '.join(missing)}, or everything "
            "with --contract FILE (docs/formats.md)"
        )
    by_key = {setting.partition("=")[0].strip() for setting in request.settings}
    shown = [as_typed(name, value) for name, value in assumed.items() if not by_key.issuperset(KEYS_ASSUMED[name])]
    notes = [f"assumed {', '.join(shown)}; pass an option where the network was trained differently"] if shown else []
    return records.from_json(Contract, content, "contract"), notes


def _content(described: Described, source_size: Size, network_size: Size | None, preset: Preset | None) -> Any:
    """The contract's JSON, with null where nothing was said."""
    said = records.to_json(vars(described))
    height_px, width_px = network_size or (None, None)
    near_m, far_m = said["range_m"] or (None, None)
    both_ways = {"interpolation": said["interpolation"], "antialias": said["antialias"], "align_corners": False}
    back = both_ways | ({"interpolation": "bilinear"} if said["interpolation"] == "area" else {})
    before = {"rounding": "none", "pad_px": [0, 0, 0, 0], "padding": "zero", "fill": "zero"}
    source = dict(zip(("height_px", "width_px"), source_size, strict=True))
    resize = said["resize"] or ("stretch" if _has_aspect(source_size, network_size) else None)
    content: dict[str, Any] = {  # Any: JSON
        "version": VERSION,
        "source": {**source, "colour": said["colour"], "dtype": "uint8", "layout": "NHWC"},
        "to_network": {
            **{"height_px": height_px, "width_px": width_px, "multiple_of_px": 1, "resize": resize},
            **both_ways,
            **before,
            **{"scale": PIXEL_SCALE, "mean": said["mean"], "std": said["std"]},
        },
        "from_network": {
            **{"kind": said["kind"], "unit": "m", "near_m": near_m, "far_m": far_m, "distance": said["distance"]},
            "covers": [0, 0, height_px, width_px],
            **back,
            **{"via_input": True, "inversion": "before_resize", "scale": 1.0, "shift": 0.0},
            "canonical_focal_px": None,
        },
        "intrinsics": None,
    }
    if preset:
        content["to_network"] |= preset.into
        content["from_network"] |= preset.out_of
        if preset.canonical_focal_px and network_size:
            content["from_network"]["canonical_focal_px"] = preset.canonical_focal_px(source_size, network_size)
    return content


def _has_aspect(frame: Size, network: Size | None) -> bool:
    """Whether both have one aspect, so that every policy of resizing does the same."""
    return network is not None and frame[0] * network[1] == frame[1] * network[0]


def _missing(content: Any, network_size: Size | None, said: Mapping[str, Any]) -> Iterator[str]:  # Any: JSON
    """The options that have to be given, as they are written."""
    if network_size is None:
        yield "--network-size HxW"
    for name, (path, written) in ASKED.items():
        part, _, key = path.partition(".")
        if content[part][key] is None and (name != "std" or "mean" in said):  # without a mean its word will give both
            yield written


def _read(file: Path) -> Any:  # Any: JSON
    try:
        return current(records.parse(files.read_small(file), "contract"))
    except OSError as error:
        raise BadInputError(f"{file}: {error.strerror}; name a contract.json (docs/formats.md)") from error
