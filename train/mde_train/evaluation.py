"""Judge a network on held-out frames by a named protocol: the same stages, the same figures as the bench."""

import torch
from torch import nn

from mde_runtime.contract import Contract
from mde_runtime.protocols import Figures, open_protocol
from mde_train.data import FrameArrays
from mde_train.depth_model import DepthModel

BATCH_SIZE = 16


@torch.no_grad()
def evaluate(network: nn.Module, contract: Contract, frames: FrameArrays, protocol: str) -> Figures:
    """The figures of the network's depth for the frames. In float32; the network is left in the mode it was in."""
    was_training, device = network.training, next(network.parameters()).device
    model, judge = DepthModel(network, contract).eval(), open_protocol(protocol)
    for start in range(0, len(frames), BATCH_SIZE):
        batch = slice(start, start + BATCH_SIZE)
        depth_m, _ = model(torch.from_numpy(frames.frames[batch]).to(device))
        truth_m = frames.depth_m[batch] * frames.valid[batch]
        for depth, truth in zip(depth_m.cpu().numpy(), truth_m, strict=True):
            judge.add(depth, truth)
    network.train(was_training)
    return judge.result()
