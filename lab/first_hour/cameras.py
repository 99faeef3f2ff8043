"""Cameras of newcomers: folders of colour and depth as each would write them, rendered.

A scene scaled by a number looks the same and has its depth multiplied, so the same rooms serve a table and a hall.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from mde_train.data.synth.frames import Kind, make_frame
from mde_train.data.synth.scene import Lens

Depth = npt.NDArray[np.float32]  # (H, W), metres; 0 where nothing was measured

SEED = 11
MILLIMETRES_PER_M = 1000
MOST_OUT_OF_RANGE = 0.15  # of a frame's pixels: a person records where the sensor measures
NUM_BEAMS = 32  # of a LiDAR, each a row of pixels


@dataclass(frozen=True)
class Camera:
    """A data set: its frames and its depth."""

    num_frames: int
    lens: Lens
    scenes: Kind
    gain: float  # of the scene: one for all frames, or no network could tell metres
    near_m: float  # that the sensor measures
    far_m: float
    lose: Callable[[Depth, np.random.Generator], Depth]  # what the sensor does not measure
    suffix: str  # of depth: .png in millimetres or .npy in metres


def with_blobs(share: float) -> Callable[[Depth, np.random.Generator], Depth]:
    """Nothing measured on blotches that cover a share of the frame: dark and shining surfaces."""

    def lose(depth_m: Depth, chance: np.random.Generator) -> Depth:
        height, width = depth_m.shape
        coarse = chance.random((height // 12 + 1, width // 12 + 1))
        noise = np.asarray(Image.fromarray(coarse.astype(np.float32)).resize((width, height), Image.Resampling.BICUBIC))
        return np.where(noise > np.quantile(noise, 1 - share), 0, depth_m).astype(np.float32)

    return lose


def along_beams(share: float) -> Callable[[Depth, np.random.Generator], Depth]:
    """A share of the pixels measured, on the rows that a LiDAR's beams meet."""

    def lose(depth_m: Depth, chance: np.random.Generator) -> Depth:
        height, width = depth_m.shape
        rows = np.linspace(height // 3, height - 1, NUM_BEAMS).astype(int)
        measured = np.zeros(depth_m.shape, np.bool_)
        measured[rows] = chance.random((NUM_BEAMS, width)) < share * height / NUM_BEAMS
        return np.where(measured, depth_m, 0).astype(np.float32)

    return lose


CAMERAS = {
    "room": Camera(200, Lens(213, 317, 260.0), "rooms", 0.8, 1.3, 6.1, with_blobs(0.03), ".png"),
    "arm": Camera(300, Lens(240, 320, 300.0), "rooms", 0.07, 0.1, 0.6, with_blobs(0.03), ".png"),
    "lidar": Camera(240, Lens(188, 620, 360.0), "streets", 1.0, 2.0, 80.0, along_beams(0.05), ".npy"),
    "vga": Camera(120, Lens(480, 640, 519.0), "rooms", 0.45, 0.5, 4.0, with_blobs(0.03), ".png"),
}


def write_camera(name: str, folder: Path) -> Path:
    """Write `color/NNNN.png` and `depth/NNNN.png` or `.npy`, and nothing that says what they are."""
    camera = CAMERAS[name]
    for part in ("color", "depth"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for number, (frame, depth_m) in enumerate(itertools.islice(_frames(camera), camera.num_frames)):
        Image.fromarray(frame).save(folder / "color" / f"{number:04}.png")
        if camera.suffix == ".npy":
            np.save(folder / "depth" / f"{number:04}.npy", depth_m)
        else:
            levels = np.round(depth_m * MILLIMETRES_PER_M).astype(np.uint16)
            Image.fromarray(levels).save(folder / "depth" / f"{number:04}.png")
    return folder


def _frames(camera: Camera) -> Iterator[tuple[npt.NDArray[np.uint8], Depth]]:
    """Frames with their depth, without end; scenes out of the sensor's range are left out."""
    for index in itertools.count():
        rendered = make_frame(SEED, index, camera.lens, camera.scenes)
        depth_m = _in_range(rendered.depth_m, camera)
        if np.mean(depth_m == 0) <= MOST_OUT_OF_RANGE or camera.scenes == "streets":
            yield rendered.frame, camera.lose(depth_m, np.random.default_rng([SEED, index]))


def _in_range(depth_m: Depth, camera: Camera) -> Depth:
    scaled_m = depth_m * np.float32(camera.gain)
    return np.where((scaled_m >= camera.near_m) & (scaled_m <= camera.far_m), scaled_m, 0).astype(np.float32)
