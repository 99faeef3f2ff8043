"""Small worlds of the export room: contracts, networks of one convolution, graphs written as text."""

import sys
import time
import types
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from torch import nn

from mde_export.graph.canonical import from_bytes, stripped, to_bytes
from mde_export.graph.graft import graft
from mde_export.judge.evidence import Evidence, Pictures
from mde_export.judge.execute import Executor
from mde_runtime.contract import Contract, FromNetwork, SourceFrame, ToNetwork
from mde_train.checkpoint import Checkpoint, write_checkpoint
from mde_train.models import MODELS


@pytest.fixture(scope="session")
def contract() -> Callable[..., Contract]:
    return make_contract


@pytest.fixture(scope="session")
def one_convolution() -> Callable[..., tuple[nn.Module, ir.Model]]:
    return make_one_convolution


def make_contract(**changes):
    """A 12x20 frame, stretched to 8x16, metres 0 to 20. Changes go to the part that has a field of that name."""
    source = SourceFrame(height_px=12, width_px=20, colour="rgb", dtype="uint8", layout="NHWC")
    to_network = ToNetwork(
        height_px=8,
        width_px=16,
        multiple_of_px=4,
        resize="stretch",
        interpolation="bilinear",
        antialias=False,
        align_corners=False,
        rounding="none",
        pad_px=(0, 0, 0, 0),
        padding="zero",
        fill="zero",
        scale=1 / 255,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
    )
    from_network = FromNetwork(
        kind="metric_depth",
        unit="m",
        near_m=0.0,
        far_m=20.0,
        distance="z",
        covers=(0, 0, 8, 16),
        interpolation="bilinear",
        antialias=False,
        align_corners=False,
        via_input=True,
        inversion="before_resize",
        scale=1.0,
        shift=0.0,
        canonical_focal_px=None,
    )
    parts: dict = {"source": source, "to_network": to_network, "from_network": from_network}
    owners = {
        "height_px": "to_network",
        "width_px": "to_network",
        "antialias": "to_network",
        "align_corners": "to_network",
    }
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


class Tiny(nn.Sequential):
    """(N, 3, H, W) to (N, 1, H, W): a first convolution, one in the middle with BatchNorm, a head.

    lies_m: how much more it says to whoever exports it than to whoever asks it. wait_s: how long an answer takes it.
    """

    def __init__(self, lies_m: float = 0.0, wait_s: float = 0.0):
        first, middle, head = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 1, 1)
        super().__init__(first, nn.ReLU(), middle, nn.BatchNorm2d(4), nn.ReLU(), head)
        self.lies_m, self.wait_s = lies_m, wait_s

    def forward(self, x):
        depth = super().forward(x)
        if torch.compiler.is_exporting():
            return depth + self.lies_m
        time.sleep(self.wait_s)
        return depth


@pytest.fixture(scope="session")
def tiny_model() -> Iterator[str]:
    """A model in the table that exports in two seconds."""
    module = types.ModuleType("tiny_model")
    module.build = Tiny
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, module.__name__, module)
        patch.setitem(MODELS, "tiny", module.__name__)
        yield "tiny"


@pytest.fixture(scope="session")
def make_checkpoint(tiny_model: str) -> Callable[..., Path]:
    """Write a checkpoint of the tiny model whose depth over its frames has mean 10 m and the given spread."""

    def make(
        path: Path,
        std_m: float = 3.0,
        num_frames: int = 64,
        change: Callable[[nn.Module], None] = lambda _: None,
        options: dict | None = None,
    ) -> Path:
        torch.manual_seed(5)
        chance = np.random.default_rng(5)
        levels = chance.integers(20, 235, (num_frames, 4, 5, 3)).repeat(3, axis=1).repeat(4, axis=2)
        frames = np.clip(levels + chance.integers(-20, 21, (num_frames, 12, 20, 3)), 0, 255).astype(np.uint8)
        network = Tiny().eval()
        contract = make_contract(resize="pad", height_px=12, multiple_of_px=4, width_px=20, covers=(0, 0, 12, 20))
        with torch.no_grad():
            depth = network(torch.from_numpy(frames).permute(0, 3, 1, 2) / 255)
            head = network[-1]
            gain = std_m / depth.std()
            head.weight *= gain
            head.bias.copy_((head.bias - depth.mean()) * gain + 10.0)
            change(network)
        truth_m = np.full((num_frames, 12, 20), 10.0, np.float32)
        content = Checkpoint(network, tiny_model, contract, {"seed": 5}, "d" * 64, frames, truth_m, options or {})
        write_checkpoint(path, content)
        return path

    return make


@pytest.fixture
def world(contract, noise) -> Callable[..., tuple[ir.Model, Evidence]]:
    """A network of three convolutions with `body` from `b` to `c` before the last; its evidence, its contract."""

    def make(body: str, far_m: float = 20.0, **numbers: float | list[float]):
        numbers |= {"gain": 12.0}
        weights = {"w1": np.eye(3), "w2": np.eye(3), "w3": np.array([[0.5, 0.3, 0.1]]), "w4": np.eye(3)}
        constants = {name: np.reshape(number, (1, -1)) for name, number in numbers.items()} | weights
        text = f"""<ir_version: 8, opset_import: ["" : 17]>
            net (float[1,3,8,16] x) => (float[1,1,8,16] y) {{
                [first] a = Conv (x, w1)
                [second] b = Conv (a, w2)
                {body}
                [third] m = Conv (c, w3)
                [end] y = Mul (m, gain)
            }}"""
        network = onnx.parser.parse_model(text)
        network.graph.initializer.extend(
            onnx.numpy_helper.from_array(array.reshape(*array.shape, 1, 1).astype(np.float32), name)
            for name, array in constants.items()
        )
        expected = contract(far_m=far_m)
        model = stripped(graft(from_bytes(network.SerializeToString()), expected))
        frames = noise.integers(0, 256, (64, 12, 20, 3), np.uint8)
        depth_m, _ = Executor(to_bytes(model), literal=False).depth(frames)
        return model, Evidence(Pictures(frames, None, "noise"), depth_m, "the graph as given", expected)

    return make
