"""Depth in metres from a camera's frame, in one line: the backend is chosen and verified when the bundle is opened."""

import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

from mde_runtime.backends import Arrays, Session
from mde_runtime.bundle import read_bundle
from mde_runtime.choosing import AUTO, Choice, choose
from mde_runtime.contract import Contract
from mde_runtime.errors import BadInputError, UsageError

Frame = npt.NDArray[np.uint8]
Depth = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Health:
    """Whether a frame's depth can be believed."""

    num_nonfinite: int  # values that the network gave as NaN or Inf, counted before the clip

    @property
    def is_good(self) -> bool:
        """Whether the network gave a number for every pixel."""
        return self.num_nonfinite == 0


@dataclass(frozen=True)
class Detail:
    """A frame's depth and what is known about it."""

    depth_m: Depth  # (H, W), metres; 0 where the network did not see the frame (crop)
    health: Health
    timings_ms: dict[str, float]  # check: of the frame; run: the backend's call; total


class DepthEstimator:
    """A bundle, opened on the best verified backend of this machine.

    For one thread at a time: open one estimator a thread, as many as the memory holds.
    """

    def __init__(self, session: Session, contract: Contract, choice: Choice):
        self.contract, self.choice = contract, choice
        self._session: Session | None = session
        self._shape = (contract.source.height_px, contract.source.width_px, 3)

    @classmethod
    def open(
        cls, path: str | Path, backend: str = AUTO, precision: str = AUTO, *, num_threads: int | None = None
    ) -> "DepthEstimator":
        """Open a bundle. `.choice` says what runs and why; nothing that failed verification ever does.

        auto: what `mde-bench` found fastest on this machine, else the fixed order, FP16 before FP32 on a GPU.
        num_threads: for a CPU; None is the backend's choice.
        Raises BadInputError for a bad bundle, MachineError or VerdictError where nothing verified runs it here.
        """
        bundle = read_bundle(Path(path))
        session, choice = choose(bundle, backend, precision, num_threads)
        return cls(session, bundle.contract, choice)

    def __call__(self, frame: Frame) -> Depth:
        """Depth of a frame: uint8 (H, W, 3) at the contract's size and colour order, to float32 (H, W) in metres.

        The array belongs to the caller. Raises BadInputError for any other frame.
        """
        self._check(frame)
        depth_m: Depth = self._run(frame)["depth_m"][0]
        return depth_m

    def detail(self, frame: Frame) -> Detail:
        """Depth of a frame with its health and how long it took; see `__call__`."""
        start = time.perf_counter_ns()
        self._check(frame)
        checked = time.perf_counter_ns()
        answer = self._run(frame)
        end = time.perf_counter_ns()
        spans = {"check": checked - start, "run": end - checked, "total": end - start}
        health = Health(int(answer["num_nonfinite"][0]))
        return Detail(answer["depth_m"][0], health, {name: span / 1e6 for name, span in spans.items()})

    def close(self) -> None:
        """Give back the device's memory. Closing twice is harmless."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def __enter__(self) -> "DepthEstimator":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _run(self, frame: Frame) -> Arrays:
        if self._session is None:
            raise UsageError("this estimator is closed; open the bundle again")
        return self._session.run({"frame": frame[None]})

    def _check(self, frame: Frame) -> None:
        """Three comparisons when the frame is right; what is wrong is worked out only when it is not."""
        if not (
            isinstance(frame, np.ndarray)
            and frame.shape == self._shape
            and frame.dtype == np.uint8
            and frame.flags.c_contiguous
        ):
            raise BadInputError(_complaint(frame, self.contract))


def _complaint(frame: object, contract: Contract) -> str:
    source = contract.source
    wanted = f"uint8 ({source.height_px}, {source.width_px}, 3) {source.colour}"
    if not isinstance(frame, np.ndarray):
        return f"the frame is a {type(frame).__name__}, not a numpy array {wanted}; numpy.asarray makes one"
    if frame.ndim != 3 or frame.shape[2] != 3 or not frame.size:
        return f"the frame has shape {frame.shape}, not {wanted}: height, width, three colours"
    if frame.dtype != np.uint8:
        return f"the frame is {frame.dtype}, not {wanted}; bring its values to 0..255 and to uint8"
    if frame.shape[:2] != (source.height_px, source.width_px):
        height, width, _ = frame.shape
        return (
            f"the frame is {height}x{width} px, the bundle takes {source.height_px}x{source.width_px} px; resize it, "
            f"or make a bundle for it: mde-export model.mde --source-size {height}x{width}"
        )
    return "the frame is not contiguous in memory (a slice, a flip or a transpose); pass numpy.ascontiguousarray(frame)"
