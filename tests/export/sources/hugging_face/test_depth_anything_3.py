"""Depth Anything 3: the law against its network and pre-processing written out anew, by its publisher's names.

The publisher's own package, which CI does not have, is compared with by `lab.public_networks`.
"""

import json
import shutil

import numpy as np
import pytest
import torch
import torch.nn.functional as F

pytest.importorskip("transformers")

import safetensors.torch

from lab.public_networks.depth_anything_3 import TINY, save
from lab.public_networks.law import compared, random_picture, worst
from mde_export.camera.focal_length import contract_for_camera
from mde_export.graph.canonical import stripped, to_bytes
from mde_export.graph.graft import graft
from mde_export.judge.execute import Executor
from mde_export.request.described import Described
from mde_export.request.request import Request
from mde_export.sources import open_source
from mde_runtime.errors import BadInputError, UsageError

FAR_M, FOCAL_PX = 20.0, 525.0
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def asked(folder, size=(96, 128), **options):
    settings = {"described": Described(range_m=(0.0, FAR_M)), "focal_px": FOCAL_PX} | options
    return Request(f"hf:{folder}", source_size=size, **settings)


def multiple_of_14(px):
    below = px // 14 * 14
    return max(14, below if px - below < below + 14 - px else below + 14)


def shrunk(levels, size):
    """The mean over what each pixel covers, in whole levels: every pixel is cut in as many parts as are wanted."""
    for axis, wanted in enumerate(size):
        parts = np.repeat(np.moveaxis(levels, axis, 0), wanted, axis=0)
        levels = np.moveaxis(parts.reshape(wanted, -1, *parts.shape[1:]).mean(1), 0, axis)
    return np.rint(levels)


def enlarged(levels, size):
    maps = torch.from_numpy(levels).permute(2, 0, 1)[None].double()
    return F.interpolate(maps, size, mode="bicubic")[0].permute(1, 2, 0).round().clamp(0, 255).numpy()


def in_its_size(frame):
    """As its publisher has it: to 504 px along the longer side, then to multiples of 14, each time in whole levels."""
    height, width = frame.shape[:2]
    factor = 504 / max(height, width)
    size = (round(height * factor), round(width * factor))
    levels = frame.astype(np.float64)
    if factor != 1:
        levels = (enlarged if factor > 1 else shrunk)(levels, size)
    wanted = tuple(map(multiple_of_14, size))
    if wanted != size:
        levels = (enlarged if wanted[0] > size[0] or wanted[1] > size[1] else shrunk)(levels, wanted)
    return torch.from_numpy((levels / 255 - MEAN) / STD).permute(2, 0, 1)[None].float()


class WrittenOut:
    """The network in functions of its weights, by their publisher's names."""

    def __init__(self, folder, taken):
        self.weights = safetensors.torch.load_file(folder / "model.safetensors")
        self.taken = taken

    def __call__(self, x):
        height, width = x.shape[2] // 14, x.shape[3] // 14
        tokens = self.tokens(x, height, width)
        maps = []
        for number in range(1 + max(self.taken)):
            block = f"backbone.pretrained.blocks.{number}"
            tokens = tokens + self[f"{block}.ls1.gamma"] * self.attended(block, self.normed(f"{block}.norm1", tokens))
            inside = self.linear(f"{block}.mlp.fc1", self.normed(f"{block}.norm2", tokens))
            tokens = tokens + self[f"{block}.ls2.gamma"] * self.linear(f"{block}.mlp.fc2", F.gelu(inside))
            if number in self.taken:
                kept = self.normed("backbone.pretrained.norm", tokens, 1e-5)[:, 1:]
                maps.append(kept.transpose(1, 2).unflatten(2, (height, width)))
        features = self.fused([self.staged(stage, each) for stage, each in enumerate(maps)])
        features = self.filtered("output_conv1", features)
        features = F.interpolate(features, x.shape[2:], mode="bilinear", align_corners=True)
        depth, sky = (
            self.filtered(f"{head}.2", F.relu(self.filtered(f"{head}.0", features)))[:, 0]
            for head in ("output_conv2", "sky_output_conv2")
        )
        return depth.exp(), F.relu(sky) >= 0.3

    def __getitem__(self, name):
        return self.weights[f"model.{name}"]

    def linear(self, name, x):
        return F.linear(x, self[f"{name}.weight"], self[f"{name}.bias"])

    def normed(self, name, x, epsilon=1e-6):
        return F.layer_norm(x, x.shape[-1:], self[f"{name}.weight"], self[f"{name}.bias"], epsilon)

    def filtered(self, name, x):
        name = f"head.scratch.{name}"
        kernel = self[f"{name}.weight"]
        return F.conv2d(x, kernel, self.weights.get(f"model.{name}.bias"), padding=kernel.shape[-1] // 2)

    def tokens(self, x, height, width):
        inside = "backbone.pretrained"
        projection = f"{inside}.patch_embed.proj"
        patches = F.conv2d(x, self[f"{projection}.weight"], self[f"{projection}.bias"], stride=14)
        table = self[f"{inside}.pos_embed"]
        side = round((table.shape[1] - 1) ** 0.5)
        square = table[:, 1:].transpose(1, 2).unflatten(2, (side, side))
        if (height, width) != (side, side):
            factors = ((height + 0.1) / side, (width + 0.1) / side)
            square = F.interpolate(square, scale_factor=factors, mode="bicubic")
        first = (self[f"{inside}.cls_token"] + table[:, :1]).expand(len(x), -1, -1)
        return torch.cat((first, (patches + square).flatten(2).transpose(1, 2)), 1)

    def attended(self, block, x):
        heads = x.shape[-1] // 64
        query, key, value = self.linear(f"{block}.attn.qkv", x).unflatten(2, (3, heads, 64)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.linear(f"{block}.attn.proj", mixed.transpose(1, 2).flatten(2))

    def staged(self, stage, x):
        """A stage's map at its size: 4 and 2 times as fine as the patches, as they are, half as fine."""
        projection = f"head.projects.{stage}"
        x = F.conv2d(x, self[f"{projection}.weight"], self[f"{projection}.bias"])
        name = f"head.resize_layers.{stage}"
        if stage < 2:
            x = F.conv_transpose2d(x, self[f"{name}.weight"], self[f"{name}.bias"], stride=(4, 2)[stage])
        if stage == 3:
            x = F.conv2d(x, self[f"{name}.weight"], self[f"{name}.bias"], stride=2, padding=1)
        return self.filtered(f"layer{stage + 1}_rn", x)

    def unit(self, name, x):
        return x + self.filtered(f"{name}.conv2", F.relu(self.filtered(f"{name}.conv1", F.relu(x))))

    def fused(self, maps):
        """From the coarsest to the finest, each step at the size of the next."""
        x = torch.zeros_like(maps[3])
        for stage in (4, 3, 2, 1):
            at = f"refinenet{stage}"
            x = maps[3] if stage == 4 else x + self.unit(f"{at}.resConfUnit1", maps[stage - 1])
            x = self.unit(f"{at}.resConfUnit2", x)
            size = maps[stage - 2].shape[2:] if stage > 1 else [2 * px for px in x.shape[2:]]
            x = self.filtered(f"{at}.out_conv", F.interpolate(x, size, mode="bilinear", align_corners=True))
        return x


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save(TINY, tmp_path_factory.mktemp("network") / "tiny")


@pytest.fixture
def copied(folder, tmp_path):
    """The folder, to be changed."""
    return shutil.copytree(folder, tmp_path / "copied")


def in_metres(network, frame):
    pixels = in_its_size(frame)
    depth, is_sky = network(pixels)
    depth = F.interpolate(torch.where(is_sky, 1e4, depth)[None], frame.shape[:2], mode="bilinear")[0, 0]
    focal_px = FOCAL_PX * (pixels.shape[2] / frame.shape[0] + pixels.shape[3] / frame.shape[1]) / 2
    return (depth.clip(0, FAR_M) * focal_px / 300).numpy()


@pytest.mark.parametrize("size", [(378, 504), (480, 640), (284, 512), (97, 211), (203, 95)])
def test_the_graph_gives_what_its_publishers_pipeline_gives(folder, size):
    request = asked(folder, size)
    source = open_source(request)
    contract = contract_for_camera(source.contract, request)
    graph = Executor(to_bytes(stripped(graft(source.network(), contract))), literal=True)
    network = WrittenOut(folder, TINY.taken)
    pictures = [random_picture(size, np.random.default_rng(7))]
    found = worst(
        compared(
            lambda frame: graph.run({"frame": frame[None]})["depth_m"][0],
            lambda frame: in_metres(network, frame),
            pictures,
            contract.from_network,
        )
    )
    assert found.keeps_the_law, found


@pytest.mark.parametrize("sky", [0.0, 9.0])
def test_sky_is_at_the_far_end(tmp_path, sky):
    folder = save(TINY, tmp_path / "tiny", sky=sky)
    source = open_source(asked(folder, (378, 504)))
    frame = random_picture((378, 504), np.random.default_rng(7))
    _, is_sky = WrittenOut(folder, TINY.taken)(in_its_size(frame))
    depth_m = source.depth_by(source.contract)(frame[None], lambda: None)[0][0]
    share = is_sky.float().mean()
    assert (share == 1) if sky else (0.01 < share < 0.9)
    assert np.array_equal(depth_m == FAR_M, is_sky[0].numpy())


def test_what_differs_from_its_publisher_is_said(folder):
    assert any("sky is put at the far end" in note for note in open_source(asked(folder)).notes)


def test_its_far_end_is_asked_for(folder):
    with pytest.raises(UsageError, match="do not state its depth range; pass --range NEAR:FAR"):
        open_source(asked(folder, described=Described()))


def test_its_metres_are_for_one_focal_length_whatever_becomes_of_the_frame(folder):
    contract = open_source(asked(folder, (720, 1280), focal_px=None)).contract
    assert contract.from_network.canonical_focal_px == pytest.approx(300 / ((280 / 720 + 504 / 1280) / 2))


def test_a_missing_weight_is_named(copied):
    weights = safetensors.torch.load_file(copied / "model.safetensors")
    del weights["model.head.scratch.output_conv1.bias"]
    safetensors.torch.save_file(weights, copied / "model.safetensors")
    with pytest.raises(BadInputError, match=r"head\.conv1\.bias is missing \(1 in all\).*; .* copy it again"):
        open_source(asked(copied))


@pytest.mark.parametrize("name", ["da3-base", "da3mono-large", "da3nested-giant-large"])
def test_another_network_of_its_series_is_refused_with_the_one_that_gives_metres(copied, name):
    (copied / "config.json").write_text(json.dumps({"model_name": name}))
    with pytest.raises(BadInputError, match=rf"{name} of Depth Anything 3 is not supported.*; export hf:.*/DA3METRIC"):
        open_source(asked(copied))


@pytest.mark.parametrize(("part", "key", "value"), [("net", "rope_start", 4), ("head", "activation", "linear")])
def test_a_network_that_is_built_otherwise_is_refused(copied, part, key, value):
    content = json.loads((copied / "config.json").read_text())
    content["config"][part][key] = value
    (copied / "config.json").write_text(json.dumps(content))
    with pytest.raises(
        BadInputError, match=rf"{part}\.{key} {value!r} in its config\.json is of a network.*; write it"
    ):
        open_source(asked(copied))


@pytest.mark.parametrize("inside", ["large", {"net": [4, 11], "head": None}])
def test_a_configuration_of_another_form_leaves_the_weights_to_say(copied, inside):
    (copied / "config.json").write_text(json.dumps({"model_name": "da3metric-large", "config": inside}))
    with pytest.raises(BadInputError, match=r"its network cannot be read \("):  # it has fewer blocks than the large one
        open_source(asked(copied))


def test_a_weight_of_a_part_that_is_not_built_is_not_passed_over(copied):
    weights = safetensors.torch.load_file(copied / "model.safetensors")
    weights["model.backbone.pretrained.camera_token"] = torch.zeros(1, 2, 64)
    safetensors.torch.save_file(weights, copied / "model.safetensors")
    with pytest.raises(BadInputError, match=r"the weight backbone\.camera_token .* is of a network"):
        open_source(asked(copied))
