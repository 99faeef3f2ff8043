"""Training frames at the size that the network takes, where that is smaller: resized once, not in every epoch.

A network of 228x304 px reads a quarter of the pixels of a 480x640 frame. What is kept is rounded to whole levels, which
no augmentation notices. Judging and the checkpoint keep to the frames as the camera gives them.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from mde_runtime.contract import Contract
from mde_train.data.arrays import UNCHANGED, Change
from mde_train.data.samples import Sample
from mde_train.depth_model import resized


def shrunk_contract(contract: Contract) -> Contract:
    """The contract of frames that are kept at the network's size; the same contract where nothing gets smaller."""
    source, to_network, placed = contract.source, contract.to_network, contract.placement
    if any(to_network.pad_px) or to_network.align_corners or to_network.rounding != "none":
        return contract
    if placed.height_px > source.height_px or placed.width_px > source.width_px:
        return contract
    small = replace(contract, source=replace(source, height_px=placed.height_px, width_px=placed.width_px))
    return small if small.placement == placed else contract


def shrinking(contract: Contract) -> Change:
    """What is to be done with a frame of the contract's source size, that it becomes one of `shrunk_contract`."""
    small = shrunk_contract(contract)
    if small == contract:
        return UNCHANGED
    height_px, width_px = small.source.height_px, small.source.width_px
    to_network = contract.to_network

    def shrunk(sample: Sample) -> Sample:
        frame_1CHW = torch.from_numpy(sample.frame).permute(2, 0, 1).unsqueeze(0).float()
        frame = (
            resized(frame_1CHW, height_px, width_px, to_network)
            .round()
            .clamp(0, 255)
            .byte()
            .squeeze(0)
            .permute(1, 2, 0)
            .numpy()
        )
        # the nearest depth: the mean of a pole's and the sky's is nobody's, and that of a measured and a hole none
        rows, columns = _nearest(sample.depth_m.shape[0], height_px), _nearest(sample.depth_m.shape[1], width_px)
        at = np.ix_(rows, columns)
        return Sample(sample.name, frame, sample.depth_m[at], sample.valid[at])

    return Change(shrunk, f"{height_px}x{width_px}-{to_network.interpolation}{'-antialias' * to_network.antialias}")


def _nearest(size: int, size_out: int) -> npt.NDArray[np.int64]:
    """The pixels in which the centres of the smaller map's pixels lie."""
    return ((np.arange(size_out) + 0.5) * size / size_out).astype(np.int64)
