"""Depth Anything 3, which transformers has no class for: small weights by its publisher's names, and its pipeline.

The pipeline is its publisher's own package, of which the network and the pre-processing are enough:

    pip install --no-deps depth-anything-3==0.1.1; pip install addict einops omegaconf opencv-python-headless
"""

import importlib.util
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.torch
import torch
from torch import Tensor

from mde_export.request.described import Described
from mde_runtime.contract import Contract

SEED = 5
PATCH_PX = 14
STD = 0.5  # of weights that are no filters
NAME = "da3metric-large"
SMALL = SimpleNamespace(name="vits", channels=384, blocks=12, taken=(2, 5, 8, 11), side=37)  # its package's smallest
TINY = SimpleNamespace(name="tiny", channels=64, blocks=4, taken=(0, 1, 2, 3), side=4)
WIDTHS, WIDE, BETWEEN = (16, 16, 32, 32), 16, 32  # of the head
SKY, BEYOND_M = 0.3, 1e4
NO_SKY = -9.0  # where nothing is: at its edges the smallest error in a picture decides between near and far
OPTIONS: Mapping[str, Any] = {"described": Described(range_m=(0.0, 20.0)), "focal_px": 525.0}


def is_here() -> bool:
    """Whether its publisher's package is installed."""
    return importlib.util.find_spec("depth_anything_3") is not None


def save(size: SimpleNamespace, folder: Path, *, sky: float = NO_SKY) -> Path:
    """Write a network with seeded weights as its publisher would. sky: what its head for the sky is shifted by."""
    folder.mkdir()
    safetensors.torch.save_file(_weights(size, sky), folder / "model.safetensors")
    net = {"name": size.name, "out_layers": list(size.taken)}
    head = {"dim_in": size.channels, "output_dim": 1, "features": WIDE, "out_channels": list(WIDTHS)}
    (folder / "config.json").write_text(json.dumps({"model_name": NAME, "config": {"net": net, "head": head}}))
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n\nA small network with seeded weights.\n")
    return folder


def _weights(size: SimpleNamespace, sky: float) -> dict[str, Tensor]:
    chance = torch.Generator().manual_seed(SEED)
    weights: dict[str, Tensor] = {}

    def free(name: str, *shape: int, mean: float = 0.0, std: float = STD) -> None:
        weights[f"model.{name}"] = torch.randn(shape, generator=chance) * std + mean

    def filters(name: str, *shape: int, bias: bool = True, gain: float = 1.0) -> None:
        """Weights that keep the variance, as a trained network's do."""
        free(f"{name}.weight", *shape, std=gain * float(np.prod(shape[1:])) ** -0.5)
        if bias:
            free(f"{name}.bias", shape[0], std=0.1)

    def norm(name: str) -> None:
        free(f"{name}.weight", size.channels, mean=1.0, std=0.1)
        free(f"{name}.bias", size.channels, std=0.1)

    inside = "backbone.pretrained"
    free(f"{inside}.cls_token", 1, 1, size.channels)
    free(f"{inside}.pos_embed", 1, 1 + size.side**2, size.channels)
    filters(f"{inside}.patch_embed.proj", size.channels, 3, PATCH_PX, PATCH_PX)
    for number in range(size.blocks):
        block = f"{inside}.blocks.{number}"
        for half in (1, 2):
            norm(f"{block}.norm{half}")
            free(f"{block}.ls{half}.gamma", size.channels, mean=0.2, std=0.05)
        filters(f"{block}.attn.qkv", 3 * size.channels, size.channels)
        filters(f"{block}.attn.proj", size.channels, size.channels)
        filters(f"{block}.mlp.fc1", 4 * size.channels, size.channels)
        filters(f"{block}.mlp.fc2", size.channels, 4 * size.channels)
    norm(f"{inside}.norm")
    for stage, width in enumerate(WIDTHS):
        filters(f"head.projects.{stage}", width, size.channels, 1, 1)
        filters(f"head.scratch.layer{stage + 1}_rn", WIDE, width, 3, 3, bias=False)
        for unit in (1, 2) if stage < len(WIDTHS) - 1 else (2,):
            for layer in (1, 2):
                filters(f"head.scratch.refinenet{stage + 1}.resConfUnit{unit}.conv{layer}", WIDE, WIDE, 3, 3)
        filters(f"head.scratch.refinenet{stage + 1}.out_conv", WIDE, WIDE, 1, 1)
    for stage, side in ((0, 4), (1, 2), (3, 3)):
        filters(f"head.resize_layers.{stage}", WIDTHS[stage], WIDTHS[stage], side, side)
    filters("head.scratch.output_conv1", WIDE // 2, WIDE, 3, 3)
    for head, offset in (("output_conv2", 1.0), ("sky_output_conv2", sky)):
        filters(f"head.scratch.{head}.0", BETWEEN, WIDE // 2, 3, 3)
        filters(f"head.scratch.{head}.2", 1, BETWEEN, 1, 1, gain=0.5)
        weights[f"model.head.scratch.{head}.2.bias"] += offset
    return weights


def publishers_depth(folder: Path, contract: Contract) -> Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]:
    """The function from a frame (H, W, 3) to metres by its publisher's package, in FP32.

    The package gives the map at the network's size; it is resized as the contract says. Sky, which it fills in with
    the 99th percentile of the picture's depth, is beyond every range here, as in the bundle.
    """
    from depth_anything_3.cfg import create_object
    from depth_anything_3.model.da3 import DepthAnything3Net
    from depth_anything_3.utils.io.input_processor import InputProcessor
    from omegaconf import OmegaConf

    config = json.loads((folder / "config.json").read_text())["config"]
    parts = {
        "net": {"alt_start": -1, "qknorm_start": -1, "rope_start": -1, "cat_token": False, **config["net"]},
        "head": config["head"],
    }
    for part, path, name in (("net", "dinov2.dinov2", "DinoV2"), ("head", "dpt", "DPT")):
        kind = {"path": f"depth_anything_3.model.{path}", "name": name, "args": "as_params"}
        parts[part] = {**parts[part], "__object__": kind}
    network = DepthAnything3Net(*(create_object(OmegaConf.create(parts[part])) for part in ("net", "head"))).eval()
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    network.load_state_dict({name.removeprefix("model."): weight for name, weight in weights.items()})
    processor, from_network = InputProcessor(), contract.from_network

    def depth_m(frame: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        pixels = processor([frame], sequential=True, num_workers=1)[0][:1, None]
        size = pixels.shape[-2:]
        with torch.inference_mode():
            found = network.head(network.backbone(pixels)[0], *size, patch_start_idx=0)
        depth = found["depth"][0]
        depth = torch.where(found["sky"][0] < SKY, depth, BEYOND_M)[None]
        on_frame = torch.nn.functional.interpolate(depth, frame.shape[:2], mode="bilinear")[0, 0]
        metres = on_frame.numpy() * np.float32(from_network.scale)
        clipped: npt.NDArray[np.float32] = np.clip(metres, from_network.near_m, from_network.far_m)
        return clipped

    return depth_m
