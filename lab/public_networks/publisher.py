"""The publisher's own pipeline: processor, network and post-processing of Hugging Face, brought to metres."""

import inspect
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from lab.public_networks import depth_anything_3
from mde_runtime.contract import Contract
from mde_train.torchvision_ops import import_torchvision

import_torchvision()  # before transformers, which imports no depth network without
import transformers  # noqa: E402

Frame = npt.NDArray[np.uint8]
Depth = npt.NDArray[np.float32]
INVERTS_ITSELF = ("depth_pro",)  # its post-processing ends in metres


def publishers_depth(folder: Path, contract: Contract) -> Callable[[Frame], Depth]:
    """The function from a frame (H, W, 3) to metres by Hugging Face's pipeline, with the contract's scale and range."""
    if "model_type" not in json.loads((folder / "config.json").read_bytes()):  # not of transformers
        return depth_anything_3.publishers_depth(folder, contract)
    model = transformers.AutoModelForDepthEstimation.from_pretrained(folder, local_files_only=True).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(folder, local_files_only=True)
    wants_source = "source_sizes" in inspect.signature(processor.post_process_depth_estimation).parameters

    def depth_m(frame: Frame) -> Depth:
        size = frame.shape[:2]
        sizes = {"source_sizes": [size]} if wants_source else {}
        with torch.inference_mode():
            output = model(**processor(images=frame, return_tensors="pt"))
            (post,) = processor.post_process_depth_estimation(output, target_sizes=[size], **sizes)
        is_metric = model.config.model_type in INVERTS_ITSELF
        return _in_metres(post["predicted_depth"].float().numpy(), contract, is_metric)

    return depth_m


def _in_metres(quantity: Depth, contract: Contract, is_metric: bool) -> Depth:
    from_network = contract.from_network
    if not is_metric:
        quantity = quantity * np.float32(from_network.scale) + np.float32(from_network.shift)
        if from_network.kind != "metric_depth":
            quantity = 1 / np.maximum(quantity, np.float32(1 / from_network.far_m))
    metres: Depth = np.clip(quantity, from_network.near_m, from_network.far_m).astype(np.float32)
    return metres
