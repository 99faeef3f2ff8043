"""Frames to train on that are made of a data set's own training frames, of rendered scenes, or of both.

Each maker gives as many samples as there are training frames, so that an epoch has as many steps. An epoch sees a frame
once, so that what is drawn here for each frame is as good as an augmentation for a run of one epoch.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from mde_runtime import files, records
from mde_train.checkpoint import Checkpoint, read_checkpoint
from mde_train.data import FrameArrays, Sample
from mde_train.data.layouts.folders import DECLARATION, Declaration
from mde_train.data.samples import sample_of
from mde_train.data.synth.frames import make_frame
from mde_train.data.synth.scene import FAR_M, Lens
from mde_train.depth_model import DepthModel
from mde_train.evaluation import BATCH_SIZE
from mde_train.models import contract_of

SCENES_SEED = 1  # the sample has seen scenes of seed 0
LOW_CYCLES = 5  # a picture: the coarsest part of its style
AT_FAR = 0.99  # of a network's far end: whatever it puts there may be as far as the sky, and stays far when zoomed
LIKELY = 0.1  # of the depth: how far a frame and its mirror image may differ where a label is to be trusted
SHARE_CUT, WIDEST_CUT = 0.5, 0.75  # of the frames; of a frame's width
LARGEST_ZOOM, SHARE_ZOOMED = 1.8, 0.7  # as the recipe's

Rng = np.random.Generator


@dataclass(frozen=True, eq=False)
class Given:
    """The frames to train on, and a checkpoint that may teach their depth."""

    frames: FrameArrays
    teacher: Path


Maker = Callable[[Given], Iterator[Sample]]


def rendered(given: Given) -> Iterator[Sample]:
    """New scenes of the frames' size, seen at 90 degrees."""
    num_frames, height_px, width_px, _ = given.frames.frames.shape
    for index in range(num_frames):
        made = make_frame(SCENES_SEED, index, Lens(height_px, width_px, width_px / 2))
        yield sample_of(str(index), made.frame, made.depth_m)


def styled(given: Given) -> Iterator[Sample]:
    """The same scenes, each with the coarse colours of one of the frames, whose depth is not read."""
    for sample, style in zip(rendered(given), given.frames.frames, strict=True):
        yield sample_of(sample.name, with_style(sample.frame, style), sample.depth_m)


def self_labelled(given: Given) -> Iterator[Sample]:
    """The frames with the depth that a checkpoint gives them where it is sure; their own is not read."""
    frames, checkpoint = given.frames, read_checkpoint(given.teacher)
    for picked in _batches(len(frames)):
        there, mirrored = (predicted(checkpoint, frames.frames[picked][:, :, ::step])[:, :, ::step] for step in (1, -1))
        depth_m = (there + mirrored) / 2
        depth_m[np.abs(there - mirrored) > LIKELY * depth_m] = 0
        depth_m[depth_m > AT_FAR * checkpoint.contract.from_network.far_m] = FAR_M
        for index, label_m in zip(picked, depth_m, strict=True):
            yield sample_of(frames.names[index], frames.frames[index], label_m)


def distilled(given: Given) -> Iterator[Sample]:
    """The frames with the mean of their depth and a checkpoint's.

    A squared error to the mean is, but for a constant, that to both. Truth beyond the teacher's range is kept: it is
    far, and must still be far when it is divided by a zoom.
    """
    frames, teacher = given.frames, read_checkpoint(given.teacher)
    far_m = np.float32(teacher.contract.from_network.far_m)
    for picked in _batches(len(frames)):
        taught_m = predicted(teacher, frames.frames[picked])
        for index, depth_m in zip(picked, taught_m, strict=True):
            truth_m = np.float32(frames.depth_m[index])
            label_m = np.where(frames.valid[index] & (truth_m < far_m), (truth_m + depth_m) / 2, truth_m)
            yield sample_of(frames.names[index], frames.frames[index], label_m)


def with_depth_cut_in(given: Given) -> Iterator[Sample]:
    """The frames, half of them with the picture of their depth in some columns: Kim et al., arXiv 2201.07436."""
    for index, (name, frame, depth_m) in enumerate(_each(given.frames)):
        yield sample_of(name, with_cut(frame, depth_m, np.random.default_rng([0, index])), depth_m)


def with_rows_moved(given: Given) -> Iterator[Sample]:
    """The frames, zoomed as in the recipe but about any row, so that the horizon moves."""
    for index, (name, frame, depth_m) in enumerate(_each(given.frames)):
        yield sample_of(name, *zoomed(frame, depth_m, np.random.default_rng([0, index])))


def with_style(frame: npt.NDArray[np.uint8], style: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """A picture with the amplitudes of another's lowest frequencies. Source: FDA, Yang and Soatto, CVPR 2020."""
    own, other = (np.fft.rfft2(picture, axes=(0, 1)) for picture in (frame, style))
    rows, columns = np.r_[0 : LOW_CYCLES + 1, -LOW_CYCLES:0], np.arange(LOW_CYCLES + 1)
    low = np.ix_(rows, columns)
    own[low] = np.abs(other[low]) * np.exp(1j * np.angle(own[low]))
    mixed = np.fft.irfft2(own, frame.shape[:2], axes=(0, 1))
    levels: npt.NDArray[np.uint8] = mixed.round().clip(0, 255).astype(np.uint8)
    return levels


def with_cut(frame: npt.NDArray[np.uint8], depth_m: npt.NDArray[np.float32], rng: Rng) -> npt.NDArray[np.uint8]:
    """A picture, perhaps with its depth as grey in some of its columns; the farthest is white."""
    is_cut, place, share = rng.random(3)
    if is_cut >= SHARE_CUT:
        return frame
    width_px = frame.shape[1]
    left = int(place * width_px)
    columns = slice(left, left + max(1, int(WIDEST_CUT * share * width_px)))
    changed: npt.NDArray[np.uint8] = frame.copy()
    changed[:, columns] = 255 * np.minimum(depth_m[:, columns, None] / 20, 1)
    return changed


def zoomed(
    frame: npt.NDArray[np.uint8], depth_m: npt.NDArray[np.float32], rng: Rng
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """A part of a picture at the whole one's size, and its depth: through a longer lens all is that much nearer."""
    height, width = depth_m.shape
    zoom = 1 + (LARGEST_ZOOM - 1) * max(0.0, (rng.random() - 1 + SHARE_ZOOMED) / SHARE_ZOOMED)
    top, left = (rng.random() * side * (1 - 1 / zoom) for side in (height, width))
    box = (left, top, left + width / zoom, top + height / zoom)
    picture = np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.BILINEAR, box=box))
    at = (((np.arange(side) + 0.5) / zoom + start).astype(int) for side, start in ((height, top), (width, left)))
    return picture, depth_m[np.ix_(*at)] / np.float32(zoom)


@torch.no_grad()
def predicted(checkpoint: Checkpoint, frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """A checkpoint's depth for frames (N, H, W, 3) of any size, (N, H, W), metres."""
    _, height_px, width_px, _ = frames.shape
    contract = contract_of(checkpoint.model, height_px, width_px, checkpoint.model_options)
    depth_m, _ = DepthModel(checkpoint.network, contract).eval()(torch.from_numpy(frames.copy()))
    return np.array(depth_m, np.float32)


def write(folder: Path, train: Iterable[Sample], judged: FrameArrays) -> None:
    """A data set of these frames to train on and those to judge by, in the layout `folders`."""
    of_val = (sample_of(name, frame, depth_m) for name, frame, depth_m in _each(judged))
    for split, samples in (("train", train), ("val", of_val)):
        for part in ("frames", "depth"):
            (folder / part / split).mkdir(parents=True, exist_ok=True)
        for index, sample in enumerate(samples):
            Image.fromarray(sample.frame).save(folder / "frames" / split / f"{index}.png", compress_level=1)
            np.save(folder / "depth" / split / f"{index}.npy", np.float16(sample.depth_m))
    declared = Declaration("frames", "depth", 1.0)
    files.write_text(folder / DECLARATION, records.dumps(declared))  # last: without it this is no data set


def _each(frames: FrameArrays) -> Iterator[tuple[str, npt.NDArray[np.uint8], npt.NDArray[np.float32]]]:
    for name, frame, depth_m in zip(frames.names, frames.frames, frames.depth_m, strict=True):
        yield name, frame, np.float32(depth_m)


def _batches(num_frames: int) -> Iterator[range]:
    for start in range(0, num_frames, BATCH_SIZE):
        yield range(start, min(start + BATCH_SIZE, num_frames))
