"""A bundle's accuracy on pictures that are worse than those of the data. Needs no GPU.

Every frame of the split is changed in one way at a time, and depth is held against the unchanged truth. The mirrored
frame's depth is mirrored back: a network without a preferred side gives what it gives for the frame itself.
"""

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from lab.gpu_check.clock import Clock
from lab.gpu_check.lines import Line
from lab.gpu_check.request import Request
from mde_bench.accuracy.frames import as_the_camera_gives_it, held_out
from mde_bench.accuracy.judge import Maps
from mde_bench.subjects.estimator import open_chosen
from mde_bench.timing.candidates import Frame
from mde_runtime.errors import MachineError
from mde_runtime.progress import progress
from mde_runtime.protocols import open_protocol

PART = "robustness"
PROTOCOL = "seed"
Change = Callable[[Frame, np.random.Generator], Frame]


def brighter(factor: float) -> Change:
    """Every value times a factor, cut off at white."""
    return lambda frame, _: np.clip(frame * factor, 0, 255).astype(np.uint8)


def blurred(sigma_px: float) -> Change:
    """A Gaussian blur, as of a lens out of focus."""
    return lambda frame, _: np.asarray(Image.fromarray(frame).filter(ImageFilter.GaussianBlur(sigma_px)))


def noisy(sigma: float) -> Change:
    """Gaussian noise on every value, of 255; another in each frame."""
    return lambda frame, chance: np.clip(frame + chance.normal(0, sigma, frame.shape), 0, 255).astype(np.uint8)


def compressed(quality: int) -> Change:
    """JPEG of a quality, on top of what the data were saved with."""

    def change(frame: Frame, _: np.random.Generator) -> Frame:
        file = io.BytesIO()
        Image.fromarray(frame).save(file, "jpeg", quality=quality)
        return np.asarray(Image.open(file))

    return change


def mirrored(frame: Frame, _: np.random.Generator) -> Frame:
    """Left is right."""
    return frame[:, ::-1]


CHANGES: dict[str, Change] = {
    "unchanged": lambda frame, _: frame,
    **{f"brightness x{factor}": brighter(factor) for factor in (0.5, 0.75, 1.25, 1.5)},
    **{f"blur {sigma} px": blurred(sigma) for sigma in (1, 2)},
    **{f"noise {sigma} of 255": noisy(sigma) for sigma in (5, 15)},
    **{f"JPEG quality {quality}": compressed(quality) for quality in (50, 20)},
    "mirrored": mirrored,
}


def robustness_lines(request: Request, clock: Clock) -> Iterator[Line]:  # noqa: ARG001  # a part's signature
    """The bundle that was given, else every one that the train part made."""
    bundles = [request.bundle] if request.bundle else sorted((request.out / "train").glob("*/model.mde"))
    if request.data is None or not bundles:
        raise MachineError("give the frames to judge on, and a bundle or trained ones: DATA=DIR BUNDLE=FILE")
    for bundle in bundles:
        yield from lines_of_bundle(bundle, request.data, bundle.stem if request.bundle else bundle.parent.name)


def lines_of_bundle(bundle: Path, data: Path, name: str) -> Iterator[Line]:
    """A line for every change, in FP32."""
    frames, model = held_out(data, None), open_chosen(bundle, "auto", "fp32")
    unchanged_m = 0.0
    with progress(f"{name}: judging", len(CHANGES) * len(frames)) as advance:
        for change_name, change in CHANGES.items():
            judge, chance = open_protocol(PROTOCOL), np.random.default_rng(0)
            for sample in frames:
                frame = np.ascontiguousarray(change(as_the_camera_gives_it(sample, model.contract.source), chance))
                judge.add(_as_seen(model.answer(frame).depth_m, change), sample.depth_m)
                advance()
            values = judge.result().values
            unchanged_m = unchanged_m or values["rmse_m"]
            figures = {name: values[name] for name in ("rmse_m", "ssim")}
            figures["rmse_over_unchanged"] = values["rmse_m"] / unchanged_m
            yield Line(PART, f"{name}, {change_name}", "passed", figures, f"{len(frames)} frames, {model.executor}")
    model.close()


def _as_seen(depth_m: Maps, change: Change) -> Maps:
    return depth_m[:, ::-1] if change is mirrored else depth_m
