"""The judge of accuracy: depth against ground truth, under a named protocol."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from mde_bench.accuracy.anatomy import Flicker
from mde_bench.accuracy.extremes import Shot, extremes
from mde_bench.accuracy.frames import as_the_camera_gives_it, held_out, protocol_for
from mde_bench.accuracy.seed_variants import BesideSeed
from mde_bench.machine.conditions import num_idle_cores
from mde_bench.timing.candidates import Subject
from mde_runtime import files, metrics
from mde_runtime.bundle import SUFFIX
from mde_runtime.colouring import Ends
from mde_runtime.contract import Contract
from mde_runtime.depth_files import depth_of_frame
from mde_runtime.errors import UsageError
from mde_runtime.precision import AUTO
from mde_runtime.progress import progress
from mde_runtime.protocols import open_protocol
from mde_runtime.protocols.figures import Figures

if TYPE_CHECKING:
    from mde_train.data import FrameSet

Maps = npt.NDArray[np.floating]
Show = Callable[[Sequence[Shot], Ends], None]  # the frames, and the range of the model's depth, metres
CLIPPED, RAW = "seed", "seed-raw"


class ModelFile(Subject, Protocol):
    """A checkpoint or a bundle, opened."""

    @property
    def contract(self) -> Contract:
        """What it expects and gives."""
        ...

    @property
    def range_m(self) -> Ends:
        """The nearest and the farthest depth that can come, metres."""
        ...


@dataclass(frozen=True)
class FileAccuracy:
    """The accuracy of one model on one split, and what it was measured on."""

    model: str  # file name, without its folder
    sha256: str  # of the file, or of all depth in order
    executor: str
    split: str
    num_frames: int
    data_sha256: str
    figures: Figures
    beside: dict[str, float]  # other ways to average the same, see `mde_bench.accuracy.seed_variants`
    flicker_m: float | None  # between neighbouring frames, see `mde_bench.accuracy.anatomy`; None: not a sequence


def accuracy_of(depth_m: Maps, truth_m: Maps, protocol: str, span_m: float) -> Figures:
    """The figures of (N, H, W) depth against truth, in the data's order. span_m: of the model's range."""
    accumulator = open_protocol(protocol, span_m)
    for depth, truth in zip(depth_m, truth_m, strict=True):
        accumulator.add(depth, truth)
    return accumulator.result()


def judge_file(
    path: Path,
    data: Path,
    split: str | None,
    protocol: str,
    backend: str = AUTO,
    precision: str = AUTO,
    show: Show | None = None,
    calibration: Path | None = None,
    focal_px: float | None = None,
) -> FileAccuracy:
    """Judge a checkpoint or a bundle on every frame of a split; split None: the last, which training does not see.

    show: called with the best, median and worst frames. Raises UsageError for `seed-raw` of a bundle, whose depth is
    always clipped, and for a backend, a precision or a camera of a checkpoint. calibration, focal_px: of the camera of
    the data, as `DepthEstimator.open` has them.
    """
    protocol, frames = protocol_for(data, protocol), held_out(data, split)
    open_protocol(protocol)  # refuses a name before anything is opened
    beside = BesideSeed(is_clipped=protocol == CLIPPED) if protocol in (CLIPPED, RAW) else None
    rmse_m: list[float] = []
    model = _open(path, protocol, backend, precision, calibration, focal_px)
    near_m, far_m = model.range_m
    flicker = Flicker(far_m)
    accumulator = open_protocol(protocol, far_m - near_m)
    with progress("judging", len(frames)) as advance:
        for sample in frames:
            depth_m = model.answer(as_the_camera_gives_it(sample, model.contract.source)).depth_m
            accumulator.add(depth_m, sample.depth_m)
            if depth_m.shape == sample.depth_m.shape:
                truth_m = np.clip(sample.depth_m, near_m, far_m)
                flicker.add(depth_m, truth_m, sample.valid)
                if show:
                    is_measured = sample.valid.any()
                    rmse_m.append(metrics.rmse(depth_m, truth_m, sample.valid) if is_measured else np.nan)
            elif show:
                raise UsageError(f"{sample.name}: its ground truth and its depth differ in size; leave --picture out")
            if beside:
                beside.add(depth_m, sample.depth_m)
            advance()
    if show:
        show(_shots(model, frames, rmse_m), (near_m, far_m))
    model.close()
    return FileAccuracy(
        model=path.name,
        sha256=files.sha256_of_file(path),
        executor=model.executor,
        split=frames.split,
        num_frames=len(frames),
        data_sha256=frames.sha256,
        figures=accumulator.result(),
        beside=beside.values() if beside else {},
        flicker_m=flicker.mean_m(),
    )


def judge_depth(folder: Path, data: Path, split: str | None, protocol: str) -> FileAccuracy:
    """Judge depth that came from anywhere: a file for every frame of a split, under the frame's name.

    Raises BadInputError where a frame's is missing, or is no depth.
    """
    protocol, frames = protocol_for(data, protocol), held_out(data, split)
    accumulator, digest = open_protocol(protocol), hashlib.sha256()
    with progress("judging", len(frames)) as advance:
        for sample in frames:
            depth_m = depth_of_frame(folder, sample.name)
            digest.update(depth_m.tobytes())
            accumulator.add(depth_m, sample.depth_m)
            advance()
    return FileAccuracy(
        model=folder.name,
        sha256=digest.hexdigest(),
        executor="depth from files",
        split=frames.split,
        num_frames=len(frames),
        data_sha256=frames.sha256,
        figures=accumulator.result(),
        beside={},
        flicker_m=None,
    )


def _shots(model: ModelFile, frames: "FrameSet", rmse_m: list[float]) -> list[Shot]:
    shots = []
    for index, what in extremes(rmse_m).items():
        sample = frames[index]
        depth_m = model.answer(as_the_camera_gives_it(sample, model.contract.source)).depth_m
        title = f"{what}: {sample.name}, RMSE {rmse_m[index]:.2f} m"
        shots.append(Shot(title, sample.frame, sample.depth_m, depth_m, sample.valid))
    if not shots:
        raise UsageError("no frame has measured depth; leave --picture out")
    return shots


def _open(
    path: Path, protocol: str, backend: str, precision: str, calibration: Path | None, focal_px: float | None
) -> ModelFile:
    if path.suffix == SUFFIX:
        if protocol == RAW:
            raise UsageError(f"{path}: a bundle's depth is clipped, so {RAW} cannot judge it; use {CLIPPED}")
        from mde_bench.subjects.estimator import open_chosen

        return open_chosen(path, backend, precision, calibration, focal_px)
    if (backend, precision) != (AUTO, AUTO):
        raise UsageError(f"{path}: is not a bundle, so PyTorch runs it in FP32; leave --backend and --precision out")
    if calibration is not None or focal_px is not None:
        raise UsageError(f"{path}: is not a bundle, and only a bundle's depth is scaled for a camera; leave that out")
    from mde_bench.subjects import torch_eager

    open_checkpoint = torch_eager.open_raw if protocol == RAW else torch_eager.open_subject
    return open_checkpoint(str(path), num_idle_cores())
