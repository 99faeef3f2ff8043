"""A data set as small as the tiny bundle, and candidates that behave as badly as they are told to."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mde_bench.candidates import Candidate


@pytest.fixture
def tiny_data(tmp_path: Path, tiny_frames: np.ndarray) -> Path:
    """The tiny frames as a data set in the layout of DepthEstimationUnreal; the truth is a little off the colours."""
    root = tmp_path / "data"
    for split in ("train", "val"):
        for kind in ("rgb", "depth"):
            (root / kind / split).mkdir(parents=True)
        for number, frame in enumerate(tiny_frames):
            Image.fromarray(frame).save(root / "rgb" / split / f"{number}.jpeg", quality=95)
            truth_m = frame.mean(axis=-1) * (20 / 255) + 0.3 + 0.1 * number
            np.save(root / "depth" / split / f"{number}.npy", truth_m.astype(np.float32))
    return root


@pytest.fixture
def badly(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Candidate]:
    """A function that makes a candidate of `subjects_for_tests`: by behaviour, with its options."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))

    def make(behaviour: str, **options: str | int) -> Candidate:
        return Candidate(behaviour, "test", "fp32", f"subjects_for_tests:{behaviour}", options)

    return make
