import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

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
