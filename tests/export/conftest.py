"""Small worlds of the export room: contracts, networks of one convolution, graphs written as text."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from torch import nn

from mde_runtime.contract import Contract, FromNetwork, SourceFrame, ToNetwork


@pytest.fixture(scope="session")
def contract() -> Callable[..., Contract]:
    return make_contract


@pytest.fixture(scope="session")
def one_convolution() -> Callable[..., tuple[nn.Module, ir.Model]]:
    return make_one_convolution


def make_contract(**changes):
    """A 12x20 frame, stretched to 8x16, metres 0 to 20. Changes go to the part that has a field of that name."""
    source = SourceFrame(12, 20, "rgb", "uint8", "NHWC")
    to_network = ToNetwork(8, 16, 4, "stretch", "bilinear", False, 1 / 255, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    from_network = FromNetwork(
        "metric_depth", "m", 0.0, 20.0, "z", (0, 0, 8, 16), "bilinear", False, scale=1.0, shift=0.0
    )
    parts: dict = {"source": source, "to_network": to_network, "from_network": from_network}
    owners = {"height_px": "to_network", "width_px": "to_network", "antialias": "to_network"}
    by_part: dict = {part: {} for part in parts}
    for name, value in changes.items():
        part, _, field = name.rpartition("__")
        owner = part or owners.get(name) or next(key for key in parts if hasattr(parts[key], name))
        by_part[owner][field] = value
    parts = {part: replace(record, **by_part[part]) for part, record in parts.items()}
    return Contract(intrinsics=None, **parts)


def make_one_convolution(
    weight: np.ndarray, bias: float, stride: int, height: int, width: int
) -> tuple[nn.Module, ir.Model]:
    """A network (N, 3, height, width) to (N, 1, height / stride, width / stride), in PyTorch and in ONNX.

    The ONNX is written down, because PyTorch's exporter takes seconds.
    """
    pad = (weight.shape[-1] - stride) // 2
    network = nn.Conv2d(3, 1, weight.shape[-1], stride, padding=pad)
    with torch.no_grad():
        network.weight.copy_(torch.from_numpy(weight))
        network.bias.fill_(bias)
    text = f"""<ir_version: 8, opset_import: ["" : 18]>
        net (float[1,3,{height},{width}] x) => (float[1,1,{height // stride},{width // stride}] y)
        {{ y = Conv <strides = [{stride},{stride}], pads = [{pad},{pad},{pad},{pad}]> (x, w, b) }}"""
    model = onnx.parser.parse_model(text)
    model.graph.initializer.append(onnx.numpy_helper.from_array(weight, "w"))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([bias], np.float32), "b"))
    return network.eval(), ir.from_proto(model)


@pytest.fixture
def noise() -> np.random.Generator:
    """Pictures of noise: smooth ones hide an error in the resize."""
    return np.random.default_rng(7)
