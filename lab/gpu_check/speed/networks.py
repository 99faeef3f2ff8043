"""The networks that the bench part measures: checkpoints that are given, else networks with random weights."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lab.gpu_check.speed.ways import Way
from mde_runtime.command import say

if TYPE_CHECKING:
    from torch import nn

    from mde_runtime.contract import Contract

VARIATION_M = 1.3  # of random weights' depth, standard deviation: a certificate cannot tell a constant from a network
FAR_M = 1000.0  # of random weights: their rounding, which no training has tamed, stays within the limits of that range
NUM_FRAMES = 64  # what a certificate is made on
CELL_PX = 32  # of the random pictures' colour patches


@dataclass(frozen=True)
class Model:
    """A network that is measured."""

    name: str
    checkpoint: Path
    bundle: Path

    def file_for(self, way: Way) -> Path:
        """What a way opens."""
        return self.checkpoint if way.takes == "checkpoint" else self.bundle


def checkpoint_of(name: str, size_px: tuple[int, int], given: Path | None, folder: Path) -> Path:
    """The network's checkpoint: given/NAME.ckpt where that exists, else one with random weights, made once."""
    known = None if given is None else given / f"{name}.ckpt"
    if known is not None and known.exists():
        return known
    path = folder / f"{name}.ckpt"
    if not path.exists():
        say(f"{name}: random weights, since no checkpoint of it was given")
        write_random_checkpoint(name, size_px, path)
    return path


def write_random_checkpoint(name: str, size_px: tuple[int, int], path: Path, far_m: float = FAR_M) -> None:
    """A checkpoint of random weights whose depth varies by 1 to 2 m, with pictures to be certified on."""
    import torch

    from mde_train.checkpoint import Checkpoint, write_checkpoint
    from mde_train.models import build_model, model_named

    torch.manual_seed(0)
    network, contract = build_model(name), model_named(name).contract(*size_px)
    frames = random_pictures(NUM_FRAMES, size_px)
    contract = _fitted(network, contract, frames, far_m)
    truth_m = np.ones(frames.shape[:3], np.float32)  # none is known, and nothing here asks for it
    write_checkpoint(path, Checkpoint(network, name, contract, {}, None, frames, truth_m))


def random_pictures(num_frames: int, size_px: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Patches of colour with some noise, uint8 (N, H, W, 3), each picture lighter or darker than the others."""
    chance, (height_px, width_px) = np.random.default_rng(0), size_px
    cells = chance.uniform(0, 200, (num_frames, -(-height_px // CELL_PX), -(-width_px // CELL_PX), 3))
    smooth = cells.repeat(CELL_PX, axis=1).repeat(CELL_PX, axis=2)[:, :height_px, :width_px]
    light = chance.uniform(0.4, 1.2, (num_frames, 1, 1, 1))
    noise = chance.normal(0, 6, smooth.shape)
    return np.asarray(np.clip(smooth * light + noise, 0, 255), np.uint8)


def _fitted(network: "nn.Module", contract: "Contract", frames: npt.NDArray[np.uint8], far_m: float) -> "Contract":
    """Settle the network's BatchNorms on frames, then give its depth the middle and the variation that it should have.

    Without the first, activations grow from layer to layer as no trained network's do.
    """
    import torch

    from mde_train.depth_model import DepthModel, network_input

    some = torch.from_numpy(frames[::4])
    with torch.no_grad():
        for norm in network.modules():
            if isinstance(norm, torch.nn.BatchNorm2d):
                norm.momentum = None  # the plain mean over what follows
                norm.reset_running_stats()
        network.train()(network_input(some, contract))
        quantity = network.eval()(network_input(some, contract))
        from_network = dataclasses.replace(contract.from_network, near_m=0.0, far_m=far_m)
        scale = VARIATION_M / float(quantity.std())
        for _ in range(2):  # what the way back to the frame's size takes of the variation is given once more
            shift = far_m / 2 - scale * float(quantity.mean())
            contract = dataclasses.replace(
                contract, from_network=dataclasses.replace(from_network, scale=scale, shift=shift)
            )
            depth_m, _ = DepthModel(network, contract)(some)
            scale *= VARIATION_M / float(depth_m.std())
    return contract
