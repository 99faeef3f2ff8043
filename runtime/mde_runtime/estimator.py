"""Depth in metres from a camera's frame, in one line: the backend is chosen and verified when the bundle is opened."""

import contextlib
import html
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from mde_runtime import notebook
from mde_runtime.backends import Arrays, DeviceSession, Lane, PipelinedSession, Session, frames_a_run
from mde_runtime.bundle import Bundle, read_bundle
from mde_runtime.camera.calibration import Calibration, read_calibration
from mde_runtime.camera.scale import gain_for, range_of
from mde_runtime.choice import Choice, choose
from mde_runtime.colour_orders import convert, one_spelling
from mde_runtime.contract import Contract
from mde_runtime.cuda.device_arrays import device_array
from mde_runtime.errors import BadInputError, UsageError
from mde_runtime.forks import Home, Turn
from mde_runtime.pipeline import overlapped
from mde_runtime.precision import AUTO
from mde_runtime.prefetch import Ahead, reading_ahead

Frame = npt.NDArray[np.uint8]
Depth = npt.NDArray[np.float32]

AHEAD = 2  # frames read before their turn: one that waits, and one that is being read


@dataclass(frozen=True)
class Health:
    """Whether a frame's depth can be believed."""

    num_nonfinite: int  # values that the network gave as NaN or Inf, counted before the clip

    @property
    def is_good(self) -> bool:
        """Whether the network gave a number for every pixel."""
        return self.num_nonfinite == 0


@dataclass(frozen=True, repr=False)
class Detail:
    """A frame's depth and what is known about it."""

    depth_m: Depth  # (H, W), metres; 0 where the network did not see the frame (crop)
    health: Health
    timings_ms: dict[str, float]  # check: of the frame; run: the backend's call; total

    def __repr__(self) -> str:
        height_px, width_px = self.depth_m.shape
        health = "good" if self.health.is_good else f"{self.health.num_nonfinite} values not finite"
        return (
            f"<Detail {height_px}x{width_px} px, {self.depth_m.min():.2f} to {self.depth_m.max():.2f} m, {health}, "
            f"{self.timings_ms['total']:.1f} ms>"
        )

    def _repr_html_(self) -> str:
        return f"{html.escape(repr(self))}<br>{notebook.picture(notebook.depth_picture(self.depth_m))}"


class DepthEstimator:
    """A bundle, opened on the best verified backend of this machine.

    Threads that share an estimator take turns; for more frames per second, open one per thread, as far as memory
    allows. A process that is forked afterwards must open its own, else it gets a UsageError.
    """

    def __init__(
        self,
        session: Session,
        contract: Contract,
        choice: Choice,
        *,
        gain: float = 1.0,
        calibration: Calibration | None = None,
    ):
        self.contract, self.choice, self.calibration = contract, choice, calibration
        self.range_m = range_of(contract, gain)  # the nearest and the farthest depth that can come
        self._gain = None if gain == 1 else np.float32(gain)
        self._session: Session | None = session
        self._on_device = session if isinstance(session, DeviceSession) and session.device_batch == 1 else None
        self._home = Home()
        self._turn = Turn(self._home)
        self._is_streaming = False  # in the session's lanes, which nothing else may use meanwhile
        self._shape = (contract.source.height_px, contract.source.width_px, 3)
        self._converted = np.empty(self._shape, np.uint8)
        self._num_nonfinite = np.empty(1, np.int32)

    @classmethod
    def open(
        cls,
        path: str | Path,
        backend: str = AUTO,
        precision: str = AUTO,
        *,
        num_threads: int | None = None,
        calibration: str | Path | Calibration | None = None,
        focal_px: float | None = None,
    ) -> "DepthEstimator":
        """Open a bundle. `.choice` says what runs and why; nothing that failed verification ever does.

        auto: what `mde-bench` found fastest on this machine, else a fixed order, with FP16 before FP32 on a GPU.
        num_threads: for a CPU; None leaves it to the backend. calibration: this camera's, from `mde-bundle calibrate`;
        all depth and `range_m` are multiplied by its gain. focal_px: the camera's, at the size of the bundle's frame;
        needed for a network that is metric for one focal length, unless a calibration is given.
        Raises BadInputError for a bad bundle or calibration, UsageError where the focal length is missing, MachineError
        or VerdictError where nothing verified runs it here.
        """
        bundle = read_bundle(Path(path))
        calibration = _calibration_of(calibration, bundle)
        gain = gain_for(bundle, calibration, focal_px)
        session, choice = choose(bundle, backend, precision, num_threads)
        return cls(session, bundle.contract, choice, gain=gain, calibration=calibration)

    def __call__(
        self, frame: Frame, *, colour: str | None = None, color: str | None = None, out: Depth | None = None
    ) -> Depth:
        """Depth of a frame: uint8 (H, W, 3) at the contract's size and colour order, to float32 (H, W) in metres.

        colour, or color: what the frame's colours are where they are not the contract's (`bgr`, `grey`, `nv12-bt709`,
        ...; see `mde_runtime.colour_orders`); it is converted. out: an array of the caller's to write to and give back,
        so that no depth map is allocated; else the array given back is the caller's own.
        Raises BadInputError for any other frame.
        """
        with self._turn:
            session = self._free_session()
            feeds = {"frame": self._checked(frame, one_spelling(colour, color))[None]}
            if out is None:
                return self._scaled(session.run(feeds)["depth_m"][0])
            _check_out(out, self._shape[:2])
            session.run(feeds, {"depth_m": out[None], "num_nonfinite": self._num_nonfinite})
            return self._scaled(out)

    def picture(self, picture: object) -> Depth:
        """Depth of a picture of any size, at its own size: float32 (H, W), metres; 0 where the network does not see it.

        picture: a file's path, a PIL image, or RGB as uint8 (H, W, 3). It is resized to the bundle's size and the depth
        back, as `mde-predict` does it; no certificate holds for that resize.
        Raises BadInputError for anything else.

            depth_m = estimate.picture("photo.jpg")
        """
        from mde_runtime.picture_placement import depth_at_picture_size, frame_of
        from mde_runtime.sources.pictures import rgb_of

        rgb = rgb_of(picture)
        height_px, width_px, _ = rgb.shape
        return depth_at_picture_size(self(frame_of(rgb, self.contract)), self.contract, width_px, height_px)

    def __repr__(self) -> str:
        source = self.contract.source
        state = self.choice.short if self._session is not None else "closed"
        return f"<DepthEstimator {source.height_px}x{source.width_px} px {source.colour}: {state}>"

    def _repr_html_(self) -> str:
        source, (near_m, far_m) = self.contract.source, self.range_m
        rows = {
            "frame": f"uint8 ({source.height_px}, {source.width_px}, 3), {source.colour}",
            "depth": f"float32, {near_m:g} to {far_m:g} m",
            **(self.choice.rows if self._session is not None else {"runs": "closed"}),
        }
        return notebook.table("DepthEstimator", rows)

    def detail(self, frame: Frame, *, colour: str | None = None, color: str | None = None) -> Detail:
        """Depth of a frame with its health and how long it took; see `__call__`."""
        with self._turn:
            start = time.perf_counter_ns()
            session = self._free_session()
            feeds = {"frame": self._checked(frame, one_spelling(colour, color))[None]}
            checked = time.perf_counter_ns()
            answer = session.run(feeds)
            depth_m = self._scaled(answer["depth_m"][0])
            end = time.perf_counter_ns()
        spans = {"check": checked - start, "run": end - checked, "total": end - start}
        health = Health(int(answer["num_nonfinite"][0]))
        return Detail(depth_m, health, {name: span / 1e6 for name, span in spans.items()})

    def batch(self, frames: Frame) -> Depth:
        """Depth of many frames at once: uint8 (N, H, W, 3) to float32 (N, H, W), metres.

        Each run takes as many frames as the graph allows. On a CPU this is no faster than one frame at a time.
        """
        if not isinstance(frames, np.ndarray) or frames.ndim != 4 or not len(frames):
            raise BadInputError(
                f"a batch is one array {('N', *self._shape)} of uint8, with N of 1 or more; numpy.stack makes one"
            )
        for frame in frames:
            self._checked(frame, None)
        depth_m = np.empty(frames.shape[:3], np.float32)
        with self._turn:
            session = self._free_session()
            step = frames_a_run(session)
            starts = range(0, len(frames), step)
            with reading_ahead((frames[start : start + step] for start in starts), AHEAD) as parts:
                for start, answer in zip(starts, _answers(session, parts, lambda part: {"frame": part}), strict=True):
                    depth_m[start : start + step] = self._scaled(answer["depth_m"])
        return depth_m

    def stream(
        self, frames: Iterable[Frame], *, colour: str | None = None, color: str | None = None
    ) -> Iterator[Depth]:
        """Depth of one frame after the other, in order, while the next frames are being read.

        `frames` is iterated in a thread of its own, at most `AHEAD` frames ahead, so that decoding or waiting for a
        camera costs nothing while the network runs; on a GPU the next frame also uploads meanwhile. A frame's depth
        never waits for the next frame. An exception of `frames` is raised here, after the depth of the frames before.

        A frame is copied when it is read, so `frames` may reuse its memory for the next. On TensorRT and
        `openvino-throughput`, other calls raise a UsageError until the stream ends or is closed.
        """

        order = one_spelling(colour, color)

        def feeds_of(frame: Frame) -> dict[str, Frame]:
            return {"frame": self._checked(frame, order)[None]}

        with self._streaming() as lanes, reading_ahead(map(_copied, frames), AHEAD) as ahead:
            if lanes:
                with contextlib.closing(overlapped(lanes, ahead, feeds_of)) as answers:
                    for answer in answers:
                        yield self._scaled(answer["depth_m"][0])
            else:
                for frame in ahead:
                    yield self(frame, colour=order)

    def on_device(self, frame: object, out: object, stream: int) -> None:
        """Queue a run on a frame that is already on the GPU; its depth is written there too. Returns without waiting.

        frame, out: uint8 (H, W, 3) and float32 (H, W) of any library with `__cuda_array_interface__` or DLPack.
        stream: the CUDA stream on which the frame is made, e.g. `torch.cuda.current_stream().cuda_stream`; work queued
        there afterwards sees the depth. If an array names another stream, the run also waits, on the GPU, for the work
        queued there. Raises UsageError if the backend is not on a GPU, or if the depth has a gain, which only the host
        applies.
        """
        with self._turn:
            self._free_session()
            if self._on_device is None:
                raise UsageError(
                    f"{self.choice.backend} cannot run single frames on data of the GPU; open the bundle with "
                    "backend='tensorrt' and an engine whose smallest batch is 1"
                )
            if self._gain is not None:
                raise UsageError(
                    f"on_device gives the graph's own depth, without this camera's gain of {self._gain:g}; open the "
                    "bundle without calibration and focal_px, and multiply by it on the GPU"
                )
            height_px, width_px, _ = self._shape
            arrays = {
                "frame": device_array(frame, "the frame", self._shape, "uint8", stream),
                "depth_m": device_array(out, "out", (height_px, width_px), "float32", stream, is_written=True),
            }
            pointers = {name: array.pointer for name, array in arrays.items()}
            streams = {array.stream for array in arrays.values() if array.stream is not None}
            self._on_device.run_on(stream, pointers, after=streams)

    def close(self) -> None:
        """Give back the device's memory, once the call that another thread makes is done. Closing twice is harmless.

        In a forked process nothing happens: the session is the other one's.
        """
        if self._home.is_elsewhere:
            return
        with self._turn:
            session, self._session, self._on_device = self._session, None, None
            if session is not None:
                session.close()

    def __enter__(self) -> "DepthEstimator":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _scaled(self, depth_m: Depth) -> Depth:
        """The graph's depth in the camera's metres, in place: the array is the caller's own. 0 stays 0."""
        if self._gain is not None:
            depth_m *= self._gain
        return depth_m

    def _opened(self) -> Session:
        if self._session is None:
            raise UsageError("this estimator is closed; open the bundle again")
        return self._session

    def _free_session(self) -> Session:
        """The session, where no stream is in its lanes."""
        session = self._opened()
        if self._is_streaming:
            raise UsageError("a stream is running on this estimator; end it first, or open another estimator")
        return session

    @contextlib.contextmanager
    def _streaming(self) -> Iterator[Sequence[Lane]]:
        """The session's lanes, which belong to the block; none where it has none."""
        with self._turn:
            session = self._free_session()
            lanes = session.lanes() if isinstance(session, PipelinedSession) else ()
            self._is_streaming = bool(lanes)
        try:
            yield [_LaneInTurn(lane, self._turn, self._home, self._opened) for lane in lanes]
        finally:
            if lanes:
                self._is_streaming = False

    def _checked(self, frame: Frame, colour: str | None) -> Frame:
        """The frame as the contract has it. Three comparisons where it is; what is wrong is worked out only then."""
        if colour is not None and colour != self.contract.source.colour:
            convert(frame, colour, self.contract.source, self._converted)
            return self._converted
        if not (
            isinstance(frame, np.ndarray)
            and frame.shape == self._shape
            and frame.dtype == np.uint8
            and frame.flags.c_contiguous
        ):
            raise BadInputError(_complaint(frame, self.contract))
        return frame


def _calibration_of(given: "str | Path | Calibration | None", bundle: Bundle) -> Calibration | None:
    if isinstance(given, str | Path):
        return read_calibration(Path(given), bundle)
    if given is not None:
        given.check(bundle, "the calibration")
    return given


class _LaneInTurn:
    """A lane whose every step waits for its turn, and is refused once the estimator is closed."""

    def __init__(self, lane: Lane, turn: Turn, home: Home, opened: Callable[[], object]):
        self._lane, self._turn, self._home, self._opened = lane, turn, home, opened

    def start(self, feeds: Mapping[str, npt.NDArray[Any]]) -> None:
        with self._turn:
            self._opened()
            self._lane.start(feeds)

    def finish(self) -> Arrays:
        with self._turn:
            self._opened()
            return self._lane.finish()

    def drop(self) -> None:
        if self._home.is_elsewhere:  # a stream that a forked process lets go
            return
        with self._turn:
            self._lane.drop()


def _copied(frame: Frame) -> Frame:
    """The frame, in memory of its own: its camera may fill the same again while this one waits for its turn."""
    is_whole = isinstance(frame, np.ndarray) and frame.flags.c_contiguous  # any other will be refused
    return np.copy(frame) if is_whole else frame


def _answers(session: Session, items: Ahead[Frame], feeds_of: Callable[[Frame], dict[str, Frame]]) -> Iterator[Arrays]:
    """The session's answer to each item, several at once where it can."""
    if isinstance(session, PipelinedSession):
        return overlapped(session.lanes(), items, feeds_of)
    return (session.run(feeds_of(item)) for item in items)


def _check_out(out: object, shape: tuple[int, int]) -> None:
    if not (
        isinstance(out, np.ndarray)
        and out.shape == shape
        and out.dtype == np.float32
        and out.flags.c_contiguous
        and out.flags.writeable
    ):
        raise BadInputError(f"out must be float32 {shape}, contiguous and writeable; numpy.empty makes one")


def _complaint(frame: object, contract: Contract) -> str:
    source = contract.source
    expected = f"uint8 ({source.height_px}, {source.width_px}, 3) {source.colour}"
    if not isinstance(frame, np.ndarray):
        return f"the frame is a {type(frame).__name__}, not a numpy array {expected}; numpy.asarray makes one"
    if frame.ndim != 3 or frame.shape[2] != 3 or not frame.size:
        return f"the frame has shape {frame.shape}, not {expected}: height, width, three colours"
    if frame.dtype != np.uint8:
        return f"the frame is {frame.dtype}, not {expected}; convert it to uint8, 0..255"
    if frame.shape[:2] != (source.height_px, source.width_px):
        height, width, _ = frame.shape
        return (
            f"the frame is {height}x{width} px, the bundle takes {source.height_px}x{source.width_px} px; resize it, "
            f"or make a bundle for it: mde-export model.mde --source-size {height}x{width} --frames DIR -o NAME.mde"
        )
    return "the frame is not contiguous in memory (a slice, a flip or a transpose); pass numpy.ascontiguousarray(frame)"
