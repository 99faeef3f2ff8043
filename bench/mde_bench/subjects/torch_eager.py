"""The PyTorch model with the PyTorch stages, eager: the reference."""

import time
from pathlib import Path

import torch

from mde_bench.candidates import Answer, Frame
from mde_train.checkpoint import read_checkpoint
from mde_train.depth_model import DepthModel


def open_subject(checkpoint: str, num_threads: int) -> "TorchEager":
    """Read a checkpoint of ours and wrap its network in the contract's stages."""
    torch.set_num_threads(num_threads)
    read = read_checkpoint(Path(checkpoint))
    return TorchEager(DepthModel(read.network, read.contract).eval())


class TorchEager:
    """A `DepthModel` on the CPU; the backend's call is its forward pass."""

    def __init__(self, model: DepthModel):
        self._model = model
        self.executor = f"torch {torch.__version__} eager, FP32"

    def answer(self, frame: Frame) -> Answer:
        """The depth of one frame."""
        with torch.inference_mode():
            batch = torch.from_numpy(frame)[None]
            start = time.perf_counter_ns()
            depth_m, num_nonfinite = self._model(batch)
            end = time.perf_counter_ns()
            return Answer(depth_m[0].numpy(), int(num_nonfinite[0]), end - start)

    def close(self) -> None:
        """Nothing is held beyond the process."""
