"""Judge a network on held-out frames by a named protocol: the same stages, the same figures as the bench."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from mde_runtime.contract import Contract
from mde_runtime.errors import UsageError
from mde_runtime.protocols import open_protocol
from mde_runtime.protocols.figures import Figures
from mde_train.data import FrameArrays
from mde_train.depth_model import DepthModel
from mde_train.recipe import BestBy, Recipe

BATCH_SIZE = 16


def check_judgeable(frames: FrameArrays, recipe: Recipe, span_m: float) -> None:
    """Raise what would come at the first evaluation, before training: truth or figures that do not fit the protocol."""
    judge = open_protocol(recipe.protocol, span_m)
    for depth_m, valid in zip(frames.depth_m, frames.valid, strict=True):  # 3 s for 300 frames
        truth_m = np.float32(depth_m * valid)
        judge.add(truth_m, truth_m)
    if missing := {"ssim", "rmse_m"} & set(recipe.best_by.replace("-", " ").split()) - set(judge.result().values):
        raise UsageError(
            f"best_by {recipe.best_by!r}: protocol {recipe.protocol} gives no {missing.pop()}; --set best_by=-rmse_m"
        )


def score_of(values: Mapping[str, float], best_by: BestBy) -> float:
    """What the best checkpoint has the largest of; values: the figures of an evaluation."""
    return -values["rmse_m"] + (values["ssim"] if best_by == "ssim - rmse_m" else 0.0)


@torch.no_grad()
def evaluate(network: nn.Module, contract: Contract, frames: FrameArrays, protocol: str) -> Figures:
    """The figures of the network's depth for the frames. In float32; the network is left in the mode it was in."""
    was_training, device = network.training, next(network.parameters()).device
    model, judge = DepthModel(network, contract).eval(), open_protocol(protocol, contract.from_network.span_m)
    for start in range(0, len(frames), BATCH_SIZE):
        batch = slice(start, start + BATCH_SIZE)
        depth_m, _ = model(torch.from_numpy(frames.frames[batch]).to(device))
        truth_m = frames.depth_m[batch] * frames.valid[batch]
        for depth, truth in zip(depth_m.cpu().numpy(), truth_m, strict=True):
            judge.add(depth, truth)
    network.train(was_training)
    return judge.result()
