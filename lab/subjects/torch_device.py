"""A checkpoint's model in PyTorch on a device: eager or compiled, FP32 or FP16, channels last.

Takes batches of any size, frames (N, H, W, 3). The backend's call is the model's forward pass, from frames that are on
the device to depth that is still there.
"""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mde_bench.timing.candidates import Answer, Depth, Frame
from mde_runtime.errors import MachineError
from mde_train.checkpoint import read_checkpoint
from mde_train.depth_model import DepthModel

DTYPES = {"fp32": torch.float32, "fp16": torch.float16}
EAGER = "eager"


def open_subject(model: str, device: str, precision: str, mode: str, tf32: int, ready_for: str) -> "TorchOnDevice":
    """Read a checkpoint and put it on a device. mode: `eager`, or one of torch.compile. tf32: whether FP32 may use it.

    ready_for: sizes of a batch, with spaces between, that are run once before it counts as open.
    Raises MachineError where torch does not see the device.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise MachineError(f"torch {torch.__version__} sees no GPU here; install its CUDA build")
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = bool(tf32)
    torch.backends.cudnn.benchmark = True  # the fastest of cuDNN's algorithms for these very sizes
    read = read_checkpoint(Path(model))
    whole = DepthModel(InPrecision(read.network, DTYPES[precision]), read.contract).eval().to(device)
    forward: Callable[[Tensor], tuple[Tensor, Tensor]] = whole
    if mode != EAGER:
        torch._dynamo.reset()
        forward = torch.compile(whole, mode=mode, dynamic=False)  # every size for itself: no slower than it has to be
    words = f"torch {torch.__version__} {device}, {mode}, {precision}, channels last{', TF32' if tf32 else ''}"
    subject = TorchOnDevice(forward, device, words, "tf32" if tf32 else precision)
    source = read.contract.source
    for size in map(int, ready_for.split()):
        subject.answer(np.zeros((size, source.height_px, source.width_px, 3), np.uint8))
    return subject


class InPrecision(nn.Module):
    """A network whose weights and values are of one dtype, between stages in FP32."""

    def __init__(self, network: nn.Module, dtype: torch.dtype):
        super().__init__()
        self.network = network.to(dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it
        self.dtype = dtype

    def forward(self, frames: Tensor) -> Tensor:
        """The network's output, float32."""
        output: Tensor = self.network(frames.to(self.dtype, memory_format=torch.channels_last))
        return output.float()


class TorchOnDevice:
    """A model on a device."""

    def __init__(self, forward: Callable[[Tensor], tuple[Tensor, Tensor]], device: str, executor: str, arithmetic: str):
        self._forward, self._device, self.executor, self.arithmetic = forward, device, executor, arithmetic

    def _wait(self) -> None:
        if self._device == "cuda":
            torch.cuda.synchronize()

    def answer(self, frame: Frame) -> Answer:
        """The depth of a batch of frames."""
        with torch.inference_mode():
            batch = torch.from_numpy(frame).to(self._device)
            self._wait()
            start = time.perf_counter_ns()
            depth_m, num_nonfinite = self._forward(batch)
            self._wait()
            end = time.perf_counter_ns()
            return Answer(depth_m.cpu().numpy(), int(num_nonfinite.sum()), end - start)

    def answer_batch(self, frames: Frame) -> Depth:
        """As `answer`."""
        return self.answer(frames).depth_m

    def close(self) -> None:
        """Nothing is held beyond the process."""
