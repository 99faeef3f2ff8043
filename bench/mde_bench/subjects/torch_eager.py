"""The PyTorch model, eager: with its stages it is the reference of everything else, without them it is judged raw."""

import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from mde_bench.timing.candidates import Answer, Depth, Frame
from mde_runtime.contract import Contract
from mde_train.checkpoint import read_checkpoint
from mde_train.depth_model import DepthModel, metres, network_input, on_frame

Model = Callable[[Tensor], tuple[Tensor, Tensor]]  # uint8 (N, H, W, 3) to depth_m (N, h, w) and num_nonfinite (N,)


def open_subject(checkpoint: str, num_threads: int) -> "TorchEager":
    """Read a checkpoint of ours and wrap its network in the contract's stages."""
    torch.set_num_threads(num_threads)
    read = read_checkpoint(Path(checkpoint))
    return TorchEager(DepthModel(read.network, read.contract).eval(), read.contract, "")


def open_raw(checkpoint: str, num_threads: int) -> "TorchEager":
    """Read a checkpoint and take its network's own metres: not resized to the frame, not clipped to the range."""
    torch.set_num_threads(num_threads)
    read = read_checkpoint(Path(checkpoint))
    from_network = read.contract.from_network

    def raw(frames: Tensor) -> tuple[Tensor, Tensor]:
        output = read.network(network_input(frames, read.contract)).float()
        quantity = (output if output.ndim == 4 else output.unsqueeze(1)) * from_network.scale + from_network.shift
        num_nonfinite = (~torch.isfinite(quantity)).sum(dim=(1, 2, 3), dtype=torch.int32)
        return on_frame(metres(quantity, from_network), read.contract).squeeze(1), num_nonfinite

    return TorchEager(raw, read.contract, ", the network's own output")


class TorchEager:
    """A model on the CPU; the backend's call is its forward pass."""

    arithmetic = "fp32"

    def __init__(self, model: Model, contract: Contract, remark: str):
        self._model, self.contract = model, contract
        self.range_m = contract.from_network.near_m, contract.from_network.far_m
        self.executor = f"torch {torch.__version__} eager, fp32{remark}"

    def answer(self, frame: Frame) -> Answer:
        """The depth of one frame."""
        with torch.inference_mode():
            batch = torch.from_numpy(frame)[None]
            start = time.perf_counter_ns()
            depth_m, num_nonfinite = self._model(batch)
            end = time.perf_counter_ns()
            return Answer(depth_m[0].numpy(), int(num_nonfinite[0]), end - start)

    def answer_batch(self, frames: Frame) -> Depth:
        """The depth of many frames in one forward pass."""
        with torch.inference_mode():
            depth_m: Depth = self._model(torch.from_numpy(frames))[0].numpy()
            return depth_m

    def close(self) -> None:
        """Nothing is held beyond the process."""
