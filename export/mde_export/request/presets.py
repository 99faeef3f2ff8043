"""Contracts of public networks that come as ONNX files, each after its publisher's own code. `--preset NAME`.

A preset says what the flags would, and what no flag can; flags say otherwise where they are given. Light: --help lists
them. What of a publisher's pipeline no contract can say stands in `differs`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mde_export.request.normalisations import NORMALISATIONS

Size = tuple[int, int]  # height, width; px


@dataclass(frozen=True)
class Preset:
    """A row of the table."""

    help: str
    source: str  # where its publisher does it
    described: Mapping[str, Any]  # fields of a request's `Described`. Any: their values
    output: str | None = None  # as --output says it, where the file has several
    network_size: Size | None = None  # for a file that leaves its sides open
    into: Mapping[str, Any] = field(default_factory=dict)  # keys of to_network in JSON; Any: JSON
    out_of: Mapping[str, Any] = field(default_factory=dict)  # the same of from_network
    canonical_focal_px: Callable[[Size, Size], float] | None = None  # by the sizes of frame and network
    differs: str = ""


def _stretched(interpolation: str, normalisation: str, **changes: Any) -> dict[str, Any]:
    """RGB frames, stretched without antialias; z-depth."""
    described = {"colour": "rgb", "resize": "stretch", "interpolation": interpolation, "antialias": False}
    named = NORMALISATIONS[normalisation]
    return {**described, "mean": named.mean, "std": named.std, "distance": "z", **changes}


def _depth_anything(what: str, **changes: Any) -> Preset:
    return Preset(
        f"Depth Anything V2 {what}",
        "github.com/fabio-sim/Depth-Anything-ONNX, dynamo.py, infer",
        _stretched("bicubic", "imagenet", **changes),
        network_size=(518, 518),
        out_of={"via_input": False, "inversion": "after_resize"},
    )


def _metric3d_focal_px(frame: Size, network: Size) -> float:
    """1000 px at the network's size, which the frame reaches with its aspect kept."""
    return 1000.0 / min(inside / side for inside, side in zip(network, frame, strict=True))


def depth_anything_3_focal_px(frame: Size, network: Size) -> float:
    """300 px at the network's size, by the mean of both axes, as its publisher takes fx and fy."""
    return 300.0 / (sum(inside / side for inside, side in zip(network, frame, strict=True)) / 2)


PRESETS = {
    "depth-anything-v2": _depth_anything("relative; needs --range and a scale", kind="relative_inverse_depth"),
    "depth-anything-v2-indoor": _depth_anything("metric, to 20 m", kind="metric_depth", range_m=(0.0, 20.0)),
    "depth-anything-v2-outdoor": _depth_anything("metric, to 80 m", kind="metric_depth", range_m=(0.0, 80.0)),
    "depth-anything-3-metric": Preset(
        "Depth Anything 3, metric, one view; needs --range, and --focal-px here or where it runs",
        "github.com/ByteDance-Seed/Depth-Anything-3, utils/io/input_processor.py, model/da3.py and README.md",
        _stretched("bilinear", "imagenet", kind="metric_depth", antialias=True),
        out_of={"via_input": False},
        canonical_focal_px=depth_anything_3_focal_px,
        differs="OpenCV's area or cubic filter in two steps on the way in, here bilinear with antialias; sky keeps the "
        "network's depth, where its publisher fills in the frame's own 99th percentile",
    ),
    "metric3d": Preset(
        "Metric3D v2, ViT; needs --range, and --focal-px here or where it runs",
        "github.com/YvanYin/Metric3D, onnx/test.onnx.py",
        {**_stretched("bilinear", "none", kind="metric_depth"), "resize": "letterbox"},
        network_size=(616, 1064),
        into={"scale": 1.0, "fill": 116.28},
        canonical_focal_px=_metric3d_focal_px,
        differs="its border has the mean of each colour (123.675, 116.28, 103.53), here one grey level; OpenCV rounds",
    ),
    "monodepth2": Preset(
        "monodepth2's disp 0, 0.1 to 100 m up to a scale of your camera",
        "github.com/nianticlabs/monodepth2, test_simple.py and disp_to_depth",
        {**_stretched("bilinear", "none", kind="inverse_depth", range_m=(0.1, 100.0)), "antialias": True},
        into={"rounding": "uint8"},
        out_of={"via_input": False, "antialias": False, "inversion": "after_resize", "scale": 9.99, "shift": 0.01},
        differs="Pillow's Lanczos on the way in, here bilinear with antialias",
    ),
    "unidepth-v2": Preset(
        "UniDepth V2 without a camera's rays; needs --range",
        "github.com/lpiccinelli-eth/UniDepth, unidepth/models/unidepthv2/export.py and infer of unidepthv2.py",
        _stretched("bilinear", "imagenet", kind="metric_depth"),
        output="pts_3d:2",
        out_of={"via_input": False},
        differs="frames narrower or wider than its ratio bounds are padded there, here stretched; trace it at a size "
        "of your frames' aspect",
    ),
    "yolo26-depth": Preset(
        "YOLO26-depth, metric, to 150 m",
        "github.com/ultralytics/ultralytics, models/yolo/depth/predict.py and Depth of nn/modules/head.py",
        _stretched("bilinear", "none", kind="metric_depth", range_m=(0.0, 150.0)),
        out_of={"via_input": False, "align_corners": True},
        differs="OpenCV rounds to levels on the way in",
    ),
    "zipdepth": Preset(
        "ZipDepth, relative; needs --range and a scale",
        "github.com/fabiotosi92/ZipDepth, zipdepth/inference/predictor.py",
        _stretched("bilinear", "none", kind="relative_inverse_depth"),
        network_size=(384, 384),
        out_of={"via_input": False, "align_corners": True, "inversion": "after_resize"},
        differs="OpenCV rounds to levels on the way in; its own size rule keeps the aspect: trace it so",
    ),
}
