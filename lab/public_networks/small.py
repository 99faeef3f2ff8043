"""A small network of each family, with seeded weights, saved as its publisher saves the large one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mde_export.request.described import Described
from mde_train.torchvision_ops import import_torchvision

import_torchvision()  # before transformers, which imports no depth network without
import transformers  # noqa: E402

SEED = 3
SHARE_OF_RANGE = 0.15  # the depth's standard deviation that the last layer is scaled to
Config = Any  # of transformers, which publishes no common type


@dataclass(frozen=True)
class Small:
    """A configuration, its processor, and the options of mde-export that its contract needs."""

    config: Callable[[], Config]
    processor: Callable[[], Any]
    options: Mapping[str, Any] = field(default_factory=dict)


def _dinov2(**changes: Any) -> Config:
    sizes = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2, "mlp_ratio": 2}
    return transformers.Dinov2Config(
        **(sizes | {"image_size": 56, "patch_size": 14, "out_indices": [1, 2, 3, 4]} | changes),
        reshape_hidden_states=False,
        apply_layernorm=True,
    )


def _depth_anything(**changes: Any) -> Config:
    return transformers.DepthAnythingConfig(
        backbone_config=_dinov2(),
        reassemble_hidden_size=32,
        neck_hidden_sizes=[16, 16, 32, 32],
        fusion_hidden_size=16,
        head_hidden_size=8,
        **changes,
    )


def _dpt(**changes: Any) -> Config:
    return transformers.DPTConfig(
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=64,
        image_size=96,
        backbone_out_indices=[0, 1, 2, 3],
        fusion_hidden_size=16,
        **({"neck_hidden_sizes": [16, 16, 32, 32]} | changes),
    )


def _dpt_hybrid() -> Config:
    backbone = transformers.BitConfig(
        embedding_size=16,
        num_groups=4,
        hidden_sizes=[16, 32, 64],
        depths=[1, 1, 1],
        layer_type="bottleneck",
        global_padding="SAME",
        embedding_dynamic_padding=True,
        out_features=["stage1", "stage2", "stage3"],
    )
    return _dpt(
        is_hybrid=True, backbone_config=backbone, backbone_featmap_shape=[1, 64, 6, 6], readout_type="project",
        neck_ignore_stages=[0, 1], neck_hidden_sizes=[16, 32, 32, 32],
    )  # fmt: skip


def _dpt_dinov2() -> Config:
    return transformers.DPTConfig(
        backbone_config=_dinov2(), neck_hidden_sizes=[16, 16, 32, 32], fusion_hidden_size=16,
        reassemble_factors=[4, 2, 1, 0.5],
    )  # fmt: skip


def _glpn() -> Config:
    return transformers.GLPNConfig(
        depths=[1, 1, 1, 1],
        hidden_sizes=[8, 16, 24, 32],
        num_attention_heads=[1, 1, 2, 2],
        decoder_hidden_size=16,
        max_depth=10,
    )


def _zoedepth() -> Config:
    backbone = transformers.BeitConfig(
        image_size=64,
        patch_size=16,
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=64,
        use_relative_position_bias=True,
        reshape_hidden_states=False,
        out_indices=[1, 2, 3, 4],
    )
    return transformers.ZoeDepthConfig(
        backbone_config=backbone,
        neck_hidden_sizes=[16, 16, 32, 32],
        fusion_hidden_size=16,
        bottleneck_features=16,
        num_relative_features=8,
        bin_embedding_dim=16,
        num_attractors=[4, 2, 2, 1],
        bin_configurations=[{"n_bins": 16, "min_depth": 0.001, "max_depth": 10.0, "name": "nyu"}],
    )


def _depth_pro() -> Config:
    encoder = {
        "model_type": "dinov2", "hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2,
        "intermediate_size": 32, "mlp_ratio": 2, "image_size": 96, "patch_size": 16, "use_mask_token": False,
        "attn_implementation": "eager",
    }  # fmt: skip
    return transformers.DepthProConfig(
        fusion_hidden_size=16,
        patch_size=96,
        intermediate_hook_ids=[3, 1],
        intermediate_feature_dims=[16, 16],
        scaled_images_ratios=[0.25, 0.5, 1],
        scaled_images_overlap_ratios=[0.0, 0.5, 0.25],
        scaled_images_feature_dims=[16, 16, 16],
        merge_padding_value=3,
        use_fov_model=True,
        num_fov_head_layers=2,
        image_model_config=encoder,
        patch_model_config=encoder,
        fov_model_config=encoder,
    )


def _tipsv2() -> Config:
    backbone = transformers.Tipsv2VisionConfig(
        hidden_size=32, num_hidden_layers=4, num_attention_heads=2, mlp_ratio=2, image_size=56,
        out_indices=[1, 2, 3, 4], apply_layernorm=True, reshape_hidden_states=False,
    )  # fmt: skip
    return transformers.Tipsv2DptConfig(
        backbone_config=backbone, neck_hidden_sizes=[16, 16, 32, 32], fusion_hidden_size=16, num_depth_bins=32
    )


def _chmv2() -> Config:
    backbone = transformers.DINOv3ViTConfig(
        image_size=64, patch_size=16, hidden_size=32, num_hidden_layers=4, num_attention_heads=2, intermediate_size=64,
        num_register_tokens=2, key_bias=True, out_indices=[1, 2, 3, 4], reshape_hidden_states=True,
        apply_layernorm=True, return_class_token=True,
    )  # fmt: skip
    return transformers.CHMv2Config(
        backbone_config=backbone, post_process_channels=[16, 16, 32, 32], fusion_hidden_size=16, head_hidden_size=16,
        number_output_channels=32,
    )  # fmt: skip


def _dpt_processor(**changes: Any) -> Any:
    settings = {"size": {"height": 126, "width": 126}, "keep_aspect_ratio": True, "ensure_multiple_of": 14}
    imagenet = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
    return transformers.DPTImageProcessor(**(settings | imagenet | changes))


RELATIVE = {"scale": 0.05, "shift": 0.05}  # to 20 m

SMALL: dict[str, Small] = {
    "chmv2": Small(
        _chmv2,
        lambda: transformers.CHMv2ImageProcessor(do_resize=True, size={"height": 96, "width": 96}, resample=3),
    ),
    "depth_anything": Small(_depth_anything, _dpt_processor, RELATIVE),
    "depth_anything-metric": Small(
        lambda: _depth_anything(depth_estimation_type="metric", max_depth=20), _dpt_processor
    ),
    "dpt": Small(
        _dpt,
        lambda: transformers.DPTImageProcessor(size={"height": 96, "width": 96}),
        RELATIVE,
    ),
    "dpt-hybrid": Small(
        _dpt_hybrid,
        lambda: transformers.DPTImageProcessor(size={"height": 96, "width": 96}),
        RELATIVE,
    ),
    "dpt-dinov2": Small(
        _dpt_dinov2,
        lambda: _dpt_processor(size={"height": 112, "width": 112}),
        {**RELATIVE, "described": Described(kind="relative_inverse_depth")},
    ),
    "glpn": Small(_glpn, lambda: transformers.GLPNImageProcessor(do_normalize=False)),
    "zoedepth": Small(
        _zoedepth,
        lambda: transformers.ZoeDepthImageProcessor(size={"height": 96, "width": 128}, ensure_multiple_of=32),
    ),
    "depth_pro": Small(_depth_pro, lambda: transformers.DepthProImageProcessor(size={"height": 384, "width": 384})),
    "tipsv2_dpt": Small(_tipsv2, lambda: transformers.Tipsv2DptImageProcessor(size={"height": 112, "width": 112})),
}


def save_small(name: str, folder: Path) -> Path:
    """Write the network `name` as its publisher would: config, processor, safetensors, card."""
    small = SMALL[name]
    torch.manual_seed(SEED)
    model = transformers.AutoModelForDepthEstimation.from_config(small.config()).eval()
    _vary(model)
    model.save_pretrained(folder)
    small.processor().save_pretrained(folder)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n\nA small network with seeded weights.\n")
    return folder


def _vary(model: nn.Module) -> None:
    """Weights as large as a trained network's: those of transformers' start give a map that is all but constant."""
    for layer in model.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
    _spread(model)


def _spread(model: Any) -> None:
    """Maps that are neither 0 nor full nearly everywhere, where the last layer's start leaves them so."""
    last: dict[Any, tuple[float, float]] = {}  # Any: layers of transformers, whose modules have no type
    family = model.config.model_type
    if family == "depth_anything" and model.config.depth_estimation_type == "relative":
        last = {model.head.conv3: (20.0, 1.0)}
    if family == "depth_pro":
        last = {model.head.layers[-2]: (4.0, 0.3), model.fov_model.head.layers[-1]: (4.0, 60.0)}
    if family == "zoedepth":
        convolutions = [layer for layer in model.metric_head.modules() if isinstance(layer, nn.Conv2d)]
        last = dict.fromkeys(convolutions, (3.0, 0.0))
    for layer, (gain, offset) in last.items():
        with torch.no_grad():
            layer.weight *= gain
            layer.bias += offset
