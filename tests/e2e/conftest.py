"""A small world for whole chains: pictures whose brightness is their depth, so that seconds of training learn it."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np
import pytest
from PIL import Image

HEIGHT_PX, WIDTH_PX = 64, 96
NUM_TRAIN, NUM_VAL = 96, 64  # a certificate needs 64 held-out frames
NEAR_M, FAR_M = 2.0, 18.0
BIN = Path(sys.executable).parent


def scene(chance: np.random.Generator) -> np.ndarray:
    """Depth in metres, float32 (H, W): a slope with boxes before it."""
    depth_m = np.linspace(FAR_M, NEAR_M, HEIGHT_PX, dtype=np.float32)[:, None].repeat(WIDTH_PX, axis=1)
    for _ in range(4):
        top, left = chance.integers(0, HEIGHT_PX - 16), chance.integers(0, WIDTH_PX - 16)
        depth_m[top : top + 16, left : left + 16] = chance.uniform(NEAR_M, FAR_M)
    return depth_m


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set in the layout that `mde-data synth` writes, of small frames."""
    root = tmp_path_factory.mktemp("world")
    chance = np.random.default_rng(3)
    for split, count in (("train", NUM_TRAIN), ("val", NUM_VAL)):
        (root / "rgb" / split).mkdir(parents=True)
        (root / "depth" / split).mkdir(parents=True)
        for index in range(count):
            depth_m = scene(chance)
            levels = np.round(255 * (1 - depth_m / 20)).astype(np.uint8)
            Image.fromarray(np.stack([levels] * 3, axis=-1)).save(root / "rgb" / split / f"{index}.jpeg", quality=95)
            np.save(root / "depth" / split / f"{index}.npy", depth_m)
    return root


@pytest.fixture(scope="session")
def call(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., subprocess.CompletedProcess[str]]:
    """A function that runs a command to its end as a user does; fails the test when the exit code is another."""
    cache = tmp_path_factory.mktemp("cache")
    cache.chmod(0o700)

    def run(*words: object, codes: tuple[int, ...] = (0,)) -> subprocess.CompletedProcess[str]:
        command = [str(BIN / str(words[0])), *map(str, words[1:])]
        ended = subprocess.run(
            command, capture_output=True, text=True, check=False, env={**os.environ, "MDE_CACHE": str(cache)}
        )
        assert ended.returncode in codes, f"{' '.join(command)}\n{ended.stdout}{ended.stderr}"
        return ended

    return run


@pytest.fixture
def interrupt() -> Callable[..., subprocess.CompletedProcess[str]]:
    """A function that starts a command, sends it Ctrl-C once `reached()` holds, and waits for its end."""

    def run(reached: Callable[[str], bool], *words: object) -> subprocess.CompletedProcess[str]:
        command = [str(BIN / str(words[0])), *map(str, words[1:])]
        with tempfile.TemporaryFile("w+") as said:
            process = subprocess.Popen(command, stdout=said, stderr=said)
            deadline = time.monotonic() + 400
            while process.poll() is None and not reached(_text(said)) and time.monotonic() < deadline:
                time.sleep(0.02)
            assert process.poll() is None, f"ended by itself: {_text(said)}"
            process.send_signal(signal.SIGINT)
            code = process.wait(timeout=400)
            return subprocess.CompletedProcess(command, code, _text(said))

    return run


def _text(file: IO[str]) -> str:
    file.seek(0)
    return file.read()


@pytest.fixture(scope="session")
def training() -> tuple[str, ...]:
    """How the runs here are trained: seconds are enough for this world."""
    return TRAINING


STILL = ("zoom=1", "gamma=0", "contrast=0", "brightness=0", "haze=0")  # or brightness would not tell depth
SETTINGS = ("epochs=12", "batch_size=8", "evaluate_every_epochs=4", *(f"augment.{setting}" for setting in STILL))
TRAINING = ("--recipe", "fast", *(word for setting in SETTINGS for word in ("--set", setting)))


@pytest.fixture(scope="session")
def run_folder(call, world, tmp_path_factory) -> Path:
    """A finished training run."""
    folder = tmp_path_factory.mktemp("runs") / "small"
    call("mde-train", "--data", world, "--out", folder, *TRAINING)
    return folder


@pytest.fixture(scope="session")
def bundle(call, run_folder, tmp_path_factory) -> Path:
    """Its bundle, with FP32 and FP16."""
    path = tmp_path_factory.mktemp("bundles") / "small.mde"
    call("mde-export", run_folder / "best.ckpt", "--fp16", "--engine", "none", "-o", path)
    return path
