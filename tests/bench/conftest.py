"""A data set as small as the tiny bundle, and candidates that behave as badly as they are told to."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mde_bench.candidates import Candidate
from mde_bench.frames import Excerpt
from mde_bench.interleave import Effort
from mde_bench.plan import Plan, plan_run
from mde_runtime.backends import BACKENDS


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


@pytest.fixture
def tiny_checkpoint(tmp_path: Path, tiny_frames: np.ndarray) -> Path:
    """The `fast` network for the tiny frames, with fresh weights, scaled so that some of its depth is beyond 20 m."""
    import torch

    from mde_train.checkpoint import Checkpoint, write_checkpoint
    from mde_train.models import build_model, model_named

    torch.manual_seed(1)
    contract = model_named("fast").contract(*tiny_frames.shape[1:3])
    contract = dataclasses.replace(contract, from_network=dataclasses.replace(contract.from_network, scale=3.0))
    truth_m = np.ones(tiny_frames.shape[:3], np.float32)
    path = tmp_path / "tiny.ckpt"
    write_checkpoint(path, Checkpoint(build_model("fast"), "fast", contract, {}, None, tiny_frames, truth_m))
    return path


@pytest.fixture(autouse=True)
def _two_backends(monkeypatch: pytest.MonkeyPatch) -> None:
    """One backend that is here and one that is not: every further one costs each test two processes."""
    for name in set(BACKENDS) - {"onnxruntime-cpu", "onnxruntime-cuda"}:
        monkeypatch.delitem(BACKENDS, name)


BRIEF = Effort(num_rounds=4, block_s=0.002, min_calls=2, max_windows=1, max_warm_up_s=0.05)


@pytest.fixture
def tiny_plan(tiny_bundle: Path, tiny_data: Path) -> Callable[..., Plan]:
    """A function that plans a brief run of candidates over the tiny data's eight frames."""

    def plan(*candidates: Candidate, call_timeout_s: float = 20) -> Plan:
        planned = plan_run(tiny_bundle, None, Excerpt(tiny_data, None, 8), "seed", 1, BRIEF)
        return dataclasses.replace(planned, candidates=candidates, call_timeout_s=call_timeout_s)

    return plan
