"""Train a network without BatchNorm for three steps over as many processes as asked for; save what came of it."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from mde_train.data import FrameArrays
from mde_train.loop import Machines, is_first_process, train
from mde_train.models import model_named
from mde_train.recipes import recipe_named
from mde_train.training import Training
from mde_train.training_data import Data, TrainingFrames

if __name__ == "__main__":
    num_devices, out = int(sys.argv[1]), Path(sys.argv[2])
    torch.set_num_threads(1)
    torch.manual_seed(0)
    chance = np.random.default_rng(0)
    frames = chance.integers(0, 256, (12, 32, 64, 3), np.uint8)
    depth_m = chance.uniform(1, 19, (12, 32, 64)).astype(np.float32)
    arrays = FrameArrays(tuple(map(str, range(12))), frames, depth_m, depth_m > 0, "")
    recipe = replace(
        recipe_named("fast"),
        protocol="seed",
        best_by="-rmse_m",
        loss="l1",
        batch_size=4,
        epochs=1,
        ema_decay=None,
        clip_gradient=None,
    )
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 3, padding=1))
    contract = model_named("fast").contract(32, 64)
    training = Training(network, contract, recipe, TrainingFrames(arrays, 4, 0))
    train(
        training, Data(arrays, arrays, arrays, contract, arrays.frames[:0]), out.with_suffix(""), Machines(num_devices)
    )
    if is_first_process():
        gradients = {name: parameter.grad for name, parameter in network.named_parameters()}
        world_size = torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1
        torch.save({"weights": network.state_dict(), "world_size": world_size, "gradients": gradients}, out)
