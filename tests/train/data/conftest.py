"""Small data sets on disk, in the formats that real ones have."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

HEIGHT_PX, WIDTH_PX = 12, 16


def write_pair(root: Path, split: str, name: str, depth_m: np.ndarray, seed: int = 0) -> None:
    frame = np.random.default_rng(seed).integers(0, 255, (HEIGHT_PX, WIDTH_PX, 3), np.uint8)
    for kind in ("rgb", "depth"):
        (root / kind / split).mkdir(parents=True, exist_ok=True)
    Image.fromarray(frame).save(root / "rgb" / split / f"{name}.jpeg", quality=95)
    np.save(root / "depth" / split / f"{name}.npy", depth_m)


def depth_map(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(1, 30, (HEIGHT_PX, WIDTH_PX)).astype(np.float32)


@pytest.fixture
def unreal(tmp_path: Path) -> Callable[..., Path]:
    """Write a data set in the layout of DepthEstimationUnreal: frames 0 to num_train - 1, then num_val more."""

    def make(num_train: int = 3, num_val: int = 2) -> Path:
        root = tmp_path / "set"
        for index in range(num_train + num_val):
            write_pair(root, "train" if index < num_train else "val", str(index), depth_map(index), index)
        return root

    return make
