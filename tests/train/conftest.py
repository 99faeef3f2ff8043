import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mde_runtime.contract import Contract
from mde_train.checkpoint import Checkpoint, write_checkpoint
from mde_train.models import build_model, model_named


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    torch.set_num_threads(1)  # small networks: more threads only wait for one another


@pytest.fixture(scope="session")
def fast_contract() -> Contract:
    return model_named("fast").contract(24, 40)


@pytest.fixture
def checkpoint(fast_contract: Contract) -> Checkpoint:
    chance = np.random.default_rng(0)
    frames = chance.integers(0, 256, (64, 24, 40, 3), np.uint8)
    depth_m = chance.uniform(0, 20, (64, 24, 40)).astype(np.float32)
    torch.manual_seed(0)
    return Checkpoint(build_model("fast"), "fast", fast_contract, {"lr": 1.0}, "ab" * 32, frames, depth_m)


@pytest.fixture
def written(checkpoint: Checkpoint, tmp_path: Path) -> Callable[..., Path]:
    """Write the checkpoint, with some fields replaced."""

    def write(**changes: object) -> Path:
        path = tmp_path / "model.ckpt"
        write_checkpoint(path, dataclasses.replace(checkpoint, **changes))
        return path

    return write


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of 24 training frames and 6 to judge on, 24x40 px: a wall whose depth its brightness tells."""
    root = tmp_path_factory.mktemp("scenes")
    chance = np.random.default_rng(0)
    for split, numbers in (("train", range(24)), ("val", range(24, 30))):
        for kind in ("rgb", "depth"):
            (root / kind / split).mkdir(parents=True)
        for number in numbers:
            depth_m = np.repeat(np.linspace(*chance.uniform(1, 19, 2), 40, dtype=np.float32)[None], 24, axis=0)
            frame = np.repeat((255 - 12 * depth_m).astype(np.uint8)[..., None], 3, axis=2)
            Image.fromarray(frame).save(root / "rgb" / split / f"{number}.jpeg")
            np.save(root / "depth" / split / f"{number}.npy", depth_m)
    return root
