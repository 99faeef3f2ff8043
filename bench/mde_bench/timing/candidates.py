"""Candidates: ways to get depth from frames, described well enough to be opened in another process."""

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from mde_bench.timing.device_times import DeviceTimes
from mde_runtime.backends import BACKENDS
from mde_runtime.bundle import Bundle
from mde_runtime.errors import UsageError
from mde_runtime.precision import Precision
from mde_runtime.verify import pairs

Frame = npt.NDArray[np.uint8]
Depth = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Answer:
    """What a candidate says of one frame."""

    depth_m: Depth  # (H, W), metres
    num_nonfinite: int  # values that were NaN or Inf before the clip
    backend_ns: int  # how long the backend's own call took


@dataclass(frozen=True)
class Opened:
    """What a candidate turned out to be."""

    executor: str
    arithmetic: str


class Subject(Protocol):
    """A candidate opened in its worker: frame in, depth out, as a user of it would call it."""

    executor: str  # what really runs, in words, with its version
    arithmetic: str  # what it computes in: fp32, bf16 ...

    def answer(self, frame: Frame) -> Answer:
        """The depth of one frame, uint8 (H, W, 3)."""
        ...

    def answer_batch(self, frames: Frame) -> Depth:
        """The depth of many frames at once, (N, H, W, 3) to (N, H, W)."""
        ...

    def close(self) -> None:
        """Give back what it holds."""
        ...


@runtime_checkable
class OnDevice(Subject, Protocol):
    """A subject that may know how long a frame takes on its device, without what the host adds."""

    def device_times(self, num_calls: int) -> DeviceTimes | None:
        """By the device's own clock; None where that cannot be told."""
        ...


@dataclass(frozen=True)
class Candidate:
    """One row of the bench. opener is `module:function`; called with the options, it gives the Subject."""

    name: str
    backend: str
    precision: Precision
    opener: str
    options: Mapping[str, str | int]

    @property
    def device(self) -> str:
        """What it computes on: cpu or cuda."""
        return BACKENDS[self.backend].device if self.backend in BACKENDS else "cpu"


TORCH = "torch eager"


def torch_candidate(checkpoint: Path, num_threads: int) -> Candidate:
    """The PyTorch model of a checkpoint, eager, FP32: what every other candidate is held against."""
    options: dict[str, str | int] = {"checkpoint": str(checkpoint), "num_threads": num_threads}
    return Candidate(f"{TORCH} fp32", TORCH, "fp32", "mde_bench.subjects.torch_eager:open_subject", options)


def bundle_candidate(bundle: Path, backend: str, precision: Precision, num_threads: int) -> Candidate:
    """One precision of a bundle on one backend, through the estimator."""
    options: dict[str, str | int] = {
        "bundle": str(bundle),
        "backend": backend,
        "precision": precision,
        "num_threads": num_threads,
    }
    return Candidate(f"{backend} {precision}", backend, precision, "mde_bench.subjects.estimator:open_subject", options)


def bundle_candidates(bundle: Bundle, num_threads: int) -> list[Candidate]:
    """Every backend for single frames with every precision of a bundle, whether it runs here or not."""
    return [
        bundle_candidate(bundle.path, backend, precision, num_threads)
        for backend, precision in pairs(bundle)
        if BACKENDS[backend].goal == "latency"
    ]


def is_named(name: str, patterns: Sequence[str]) -> bool:
    """Whether a candidate's name matches one of the patterns; * stands for anything, and no pattern names them all."""
    return not patterns or any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def named(candidates: Sequence[Candidate], patterns: Sequence[str]) -> list[Candidate]:
    """The candidates whose names match. Raises UsageError where none does."""
    found = [candidate for candidate in candidates if is_named(candidate.name, patterns)]
    if not found:
        known = ", ".join(candidate.name for candidate in candidates)
        raise UsageError(f"no candidate matches {' or '.join(patterns)}; choose from {known}")
    return found
