"""Depth Anything 3, metric, of one view: DINOv2 with DPT's head for depth, and another for the sky; metric depth.

transformers has no class for it, but has its parts, those of Depth Anything 2. Its ends are its own: depth is exp of
the last layer, in metres for a focal length of 300 px, and the other head's sky has none.
Source: github.com/ByteDance-Seed/Depth-Anything-3, model/da3.py, model/dpt.py, model/dinov2/vision_transformer.py,
utils/io/input_processor.py and README.md.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import safetensors.torch
import torch
import transformers
from torch import Tensor, nn
from transformers.models.dinov2.modeling_dinov2 import Dinov2Embeddings

from mde_export.request.normalisations import NORMALISATIONS
from mde_export.request.presets import depth_anything_3_focal_px
from mde_export.request.request import Size
from mde_export.sources.hugging_face.loading import ATTENTION, Published, check_complete, reading
from mde_export.sources.hugging_face.pipeline import Configuration, FromPublisher, Processor, Resizing, to_network
from mde_export.sources.hugging_face.repository import CONFIG, WEIGHTS
from mde_runtime.contract import ToNetwork
from mde_runtime.errors import BadInputError
from mde_train.depth_model import averaged

SUPPORTED = "da3metric-large"
TAKEN = [4, 11, 17, 23]  # the blocks whose output the head takes, where the configuration says nothing
PATCH_PX, HEAD_SIZE = 14, 64  # of DINOv2 in all its sizes
LONGEST_PX = 504  # of the network's input
LAST_EPSILON = 1e-5  # of the norm after the last block; those before it have DINOv2's
OFFSET = 0.1  # added to the number of patches before the table of positions is scaled to it
NUM_STAGES = 4  # of the neck
SKY = 0.3  # of the other head: from here on it is sky
SKY_HEAD = "sky."
UNUSED = "neck.fusion_stage.layers.0.residual_layer1."  # the deepest stage has nothing to add
BEYOND_M = 1e4  # what becomes of it: clipping puts it at the far end
MEAN, STD = NORMALISATIONS["imagenet"].mean, NORMALISATIONS["imagenet"].std

BUILT: Mapping[str, Mapping[str, object]] = {  # of the configuration: other values make another network
    "net": {"alt_start": -1, "qknorm_start": -1, "rope_start": -1, "cat_token": False},
    "head": {
        **{"output_dim": 1, "activation": "exp", "pos_embed": False, "down_ratio": 1, "norm_type": "idt"},
        **{"use_sky_head": True, "sky_activation": "relu", "use_ln_for_heads": False},
    },
}
INPUT = SimpleNamespace(  # what its publisher does to a picture, in the words of a processor
    do_rescale=True,
    rescale_factor=1 / 255,
    do_normalize=True,
    image_mean=MEAN,
    image_std=STD,
    resample=3,
)
NAMES = (  # its publisher's names of weights, and those of Depth Anything 2 on the hub
    (r"^model\.backbone\.pretrained\.", "backbone."),
    (r"^backbone\.(cls_token)", r"backbone.embeddings.\1"),
    (r"^backbone\.pos_embed", "backbone.embeddings.position_embeddings"),
    (r"^backbone\.patch_embed\.proj", "backbone.embeddings.patch_embeddings.projection"),
    (r"^backbone\.norm\.", "backbone.layernorm."),
    (r"^backbone\.blocks\.", "backbone.encoder.layer."),
    (r"\.attn\.(query|key|value)\.", r".attention.attention.\1."),
    (r"\.attn\.proj\.", ".attention.output.dense."),
    (r"\.ls(\d)\.gamma", r".layer_scale\1.lambda1"),
    (r"^model\.head\.(scratch\.)?", "head."),
    (r"^head\.projects\.(\d)\.", r"neck.reassemble_stage.layers.\1.projection."),
    (r"^head\.resize_layers\.(\d)\.", r"neck.reassemble_stage.layers.\1.resize."),
    (r"^head\.layer(\d)_rn\.", lambda found: f"neck.convs.{int(found[1]) - 1}."),
    (r"^head\.refinenet(\d)\.", lambda found: f"neck.fusion_stage.layers.{NUM_STAGES - int(found[1])}."),
    (r"\.out_conv\.", ".projection."),
    (r"\.resConfUnit(\d)\.conv(\d)\.", r".residual_layer\1.convolution\2."),
    (r"^head\.output_conv1\.", "head.conv1."),
    (r"^head\.output_conv2\.0\.", "head.conv2."),
    (r"^head\.output_conv2\.2\.", "head.conv3."),
    (r"^head\.sky_output_conv2\.", SKY_HEAD),
)


class ScaledPositions(Dinov2Embeddings):  # type: ignore[misc]  # transformers publishes no types
    """DINOv2's embeddings, with the table of positions scaled as its authors did: by a factor, and not to a size."""

    def interpolate_pos_encoding(self, embeddings: Tensor, height: int, width: int) -> Tensor:
        """(1, 1 + patches, channels) for an input of height x width px."""
        table: Tensor = self.position_embeddings
        if embeddings.shape[1] == table.shape[1] and height == width:
            return table
        side = int((table.shape[1] - 1) ** 0.5)
        square = table[:, 1:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
        factors = [(px // PATCH_PX + OFFSET) / side for px in (height, width)]
        scaled = nn.functional.interpolate(square, scale_factor=factors, mode="bicubic")
        return torch.cat((table[:, :1], scaled.flatten(2).transpose(1, 2)), dim=1)


class OneView(nn.Module):
    """Depth Anything 2 with the weights of 3, and 3's ends."""

    low: Tensor  # the darkest and the brightest level, normalised: (3, 1, 1)
    high: Tensor

    def __init__(self, model: transformers.DepthAnythingForDepthEstimation, sky: nn.Module):
        super().__init__()
        self.backbone, self.neck, self.head, self.sky = model.backbone, model.neck, model.head, sky
        positions = ScaledPositions(model.config.backbone_config)
        positions.load_state_dict(model.backbone.embeddings.state_dict())
        self.backbone.embeddings = positions
        self.backbone.layernorm.eps = LAST_EPSILON
        low, high = ((level - torch.tensor(MEAN)) / torch.tensor(STD) for level in (0.0, 1.0))
        self.register_buffer("low", low[:, None, None], persistent=False)
        self.register_buffer("high", high[:, None, None], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, h, w) to (N, h', w'), sides that are whole patches: metres for a focal length of 300 px."""
        patches = in_whole_patches(x.clamp(self.low, self.high)).clamp(self.low, self.high)
        size = patches.shape[-2:]
        fused = self.neck(self.backbone(patches).feature_maps, *(px // PATCH_PX for px in size))[-1]
        features = nn.functional.interpolate(self.head.conv1(fused), size, mode="bilinear", align_corners=True)
        log_depth = self.head.conv3(torch.relu(self.head.conv2(features)))
        depth: Tensor = torch.where(self.sky(features) < SKY, torch.exp(log_depth), BEYOND_M)
        return depth.squeeze(1)


def in_whole_patches(x: Tensor) -> Tensor:
    """(N, C, h, w) resized to the nearest sides that are whole patches, halves up: with more pixels by OpenCV's cubic
    filter, else by its area filter.
    """
    sides = x.shape[-2:]
    wanted = tuple(_nearest_multiple(px) for px in sides)
    if wanted == tuple(sides):
        return x
    if any(new > old for new, old in zip(wanted, sides, strict=True)):
        return nn.functional.interpolate(x, wanted, mode="bicubic")
    return averaged(x, *wanted)


def _nearest_multiple(px: int) -> int:
    return max(PATCH_PX, (px + PATCH_PX // 2) // PATCH_PX * PATCH_PX)


def network(model: nn.Module) -> nn.Module:
    """It gives its map alone."""
    return model


def published(folder: Path, config: Configuration, where: str) -> Published:
    """The network with its publisher's weights.

    Raises BadInputError for another network of Depth Anything 3, or weights that are not all there.
    """
    if config.model_name != SUPPORTED:
        raise BadInputError(
            f"{where}: {config.model_name} of Depth Anything 3 is not supported, only {SUPPORTED}, which gives metres "
            "of one picture; export hf:depth-anything/DA3METRIC-LARGE"
        )
    _check_built(config, where)
    with reading(where, "its network"):
        files = sorted(folder.glob(WEIGHTS))
        weights = {name: weight for path in files for name, weight in _renamed(safetensors.torch.load_file(path))}
        model, report = transformers.DepthAnythingForDepthEstimation.from_pretrained(
            None,
            config=_built(weights, _taken(config)),
            state_dict={name: weight for name, weight in weights.items() if not name.startswith(SKY_HEAD)},
            attn_implementation=ATTENTION,
            dtype=torch.float32,
            output_loading_info=True,
        )
        sky = _sky_head(weights)
    check_complete((name for name in report["missing_keys"] if not name.startswith(UNUSED)), where)
    if more := sorted(report["unexpected_keys"]):
        raise _another(where, f"the weight {more[0]} ({len(more)} in all)")
    return Published(config, INPUT, OneView(model, sky).eval())


def _renamed(weights: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Weights by the names here. Queries, keys and values, which its publisher keeps in one, are parted."""
    for name, weight in weights.items():
        parts = [name.replace("qkv", part) for part in ("query", "key", "value")] if ".attn.qkv." in name else [name]
        for part, values in zip(parts, weight.chunk(len(parts)), strict=True):
            renamed = part
            for theirs, ours in NAMES:
                renamed = re.sub(theirs, ours, renamed)
            yield renamed, values.contiguous()


def _built(weights: Mapping[str, Tensor], taken: list[int]) -> Configuration:
    """The configuration that has the weights' shapes. taken: numbers of the blocks whose output the head takes."""

    def shape(name: str) -> torch.Size:
        return weights[name].shape

    _, num_positions, channels = shape("backbone.embeddings.position_embeddings")
    backbone = transformers.Dinov2Config(
        hidden_size=channels,
        num_hidden_layers=len([name for name in weights if name.endswith(".norm1.weight")]),
        num_attention_heads=channels // HEAD_SIZE,
        mlp_ratio=shape("backbone.encoder.layer.0.mlp.fc1.weight")[0] // channels,
        image_size=int((num_positions - 1) ** 0.5) * PATCH_PX,
        patch_size=PATCH_PX,
        out_indices=[block + 1 for block in taken],
        apply_layernorm=True,
        reshape_hidden_states=False,
        use_mask_token=False,
    )
    return transformers.DepthAnythingConfig(
        backbone_config=backbone,
        patch_size=PATCH_PX,
        reassemble_hidden_size=channels,
        neck_hidden_sizes=[
            shape(f"neck.reassemble_stage.layers.{stage}.projection.weight")[0] for stage in range(NUM_STAGES)
        ],
        fusion_hidden_size=shape("head.conv1.weight")[1],
        head_hidden_size=shape("head.conv2.weight")[0],
    )


def _sky_head(weights: Mapping[str, Tensor]) -> nn.Module:
    inside = {name.removeprefix(SKY_HEAD): weight for name, weight in weights.items() if name.startswith(SKY_HEAD)}
    between, channels = inside["0.weight"].shape[:2]
    head = nn.Sequential(nn.Conv2d(channels, between, 3, padding=1), nn.ReLU(), nn.Conv2d(between, 1, 1))
    head.load_state_dict(inside)
    return head


def _part(config: Configuration, name: str) -> Mapping[str, Any]:
    """A part's settings as its publisher writes them; none where the configuration has only a name."""
    parts = getattr(config, "config", None)
    settings = parts.get(name) if isinstance(parts, dict) else None
    return settings if isinstance(settings, dict) else {}


def _taken(config: Configuration) -> list[int]:
    return list(_part(config, "net").get("out_layers", TAKEN))


def _check_built(config: Configuration, where: str) -> None:
    """Raises BadInputError where a setting makes a network that is not built here."""
    for name, built in BUILT.items():
        settings = _part(config, name)
        for key, value in built.items():
            if settings.get(key, value) != value:
                raise _another(where, f"{name}.{key} {settings[key]!r} in its {CONFIG}")


def _another(where: str, found: str) -> BadInputError:
    return BadInputError(
        f"{where}: {found} is of a network that is built otherwise than {SUPPORTED}; write it as ONNX with its "
        "publisher's package, then run mde-export FILE.onnx --preset depth-anything-3-metric"
    )


def into(processor: Processor, source: Size) -> ToNetwork:
    """The longer side becomes 504 px: the first step of its publisher's two. The network itself takes the second."""
    factor = LONGEST_PX / max(source)
    height_px, width_px = (max(1, round(side * factor)) for side in source)
    is_shrunk = factor < 1
    inside = to_network(processor, (height_px, width_px), Resizing(antialias=is_shrunk), PATCH_PX)
    return replace(inside, interpolation="area") if is_shrunk else inside


def out_of(_config: Configuration, _processor: Processor) -> FromPublisher:
    """Metres for a focal length of 300 px at the size that the network takes; no far end is published."""
    return FromPublisher(
        kind="metric_depth",
        range_m=None,
        interpolation="bilinear",
        canonical_focal_px=_focal_px,
        differs="sky is put at the far end; its publisher fills in the 99th percentile of the picture's own depth",
    )


def _focal_px(frame: Size, inside: Size) -> float:
    height_px, width_px = (_nearest_multiple(side) for side in inside)
    return depth_anything_3_focal_px(frame, (height_px, width_px))
