"""A checkpoint of mde-train: the PyTorch network is exported, and is the reference."""

from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from mde_export.judge.evidence import Depth, Frames, ManyFrames, ManyMaps, Pictures
from mde_export.judge.execute import depth_of_all
from mde_export.request.request import Request
from mde_export.sources import DepthOf, Source
from mde_export.sources.first_difference import first_difference
from mde_export.sources.from_torch import onnx_from_torch
from mde_train.checkpoint import Checkpoint, read_checkpoint
from mde_train.depth_model import DepthModel


def open_source(request: Request) -> Source:
    """Read the checkpoint. Raises BadInputError as `read_checkpoint` does."""
    checkpoint = read_checkpoint(Path(request.model))
    return Source(
        origin="checkpoint",
        model=checkpoint.model,
        sha256=checkpoint.sha256,
        data_sha256=checkpoint.data_sha256,
        recipe=checkpoint.recipe,
        rendered=checkpoint.rendered,
        contract=checkpoint.contract,
        network=lambda: onnx_from_torch(checkpoint.network, checkpoint.contract, request.most_at_once),
        pictures=_pictures(checkpoint),
        reference=f"{checkpoint.model} in PyTorch {torch.__version__}, FP32",
        depth_by=lambda contract: depth_of(DepthModel(checkpoint.network, contract)),
        tools={name: version(name) for name in ("torch", "onnxscript")},
        first_difference=partial(first_difference, checkpoint.network, checkpoint.contract),
    )


def _pictures(checkpoint: Checkpoint) -> Pictures | None:
    """Its held-out frames with their depth; without a depth where training frames fill them up."""
    held, filler = checkpoint.heldout_frames, checkpoint.filler_frames
    if not len(held):
        return None
    if not len(filler):
        return Pictures(held, checkpoint.heldout_depth_m, f"checkpoint's {len(held)} held-out frames")
    origin = f"checkpoint's {len(held)} held-out frames and {len(filler)} of its training frames"
    return Pictures(np.concatenate((held, filler)), None, origin)


def depth_of(model: DepthModel) -> DepthOf:
    """The function that runs a model on frames, each alone as a robot would, in FP32 on the CPU."""
    model = model.eval()

    def of_one(frame: Frames) -> tuple[Depth, int]:
        torch.set_num_threads(1)  # of this thread alone: OpenMP keeps a count for each
        with torch.inference_mode():
            depth_m, num_nonfinite = model(torch.from_numpy(frame))
        return depth_m[0].numpy(), int(num_nonfinite)

    def depth(frames: ManyFrames, advance: Callable[[], None]) -> tuple[ManyMaps, int]:
        num_threads = torch.get_num_threads()
        try:
            return depth_of_all(of_one, frames, advance)
        finally:
            torch.set_num_threads(num_threads)

    return depth
