"""From pictures and videos to depth on disk. Memory stays flat, and a bad frame costs only itself."""

import contextlib
import errno
import functools
import itertools
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mde_runtime.colouring import PLAIN, Colouring
from mde_runtime.contract import Intrinsics
from mde_runtime.errors import BadInputError
from mde_runtime.estimator import DepthEstimator
from mde_runtime.picture_placement import camera_at_picture_size, depth_at_picture_size, frame_of
from mde_runtime.prefetch import reading_ahead
from mde_runtime.sinks import SINKS, Prediction, Write, Writing, check_apart, has_result, open_sink
from mde_runtime.sources import NamedFrame, Source, check_films

# What is wrong with one result's name or place, where others may be right: no full disk is among them.
OF_ONE_NAME = (errno.ENAMETOOLONG, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.EACCES, errno.EPERM, errno.ELOOP)
AHEAD = 2  # pictures decoded before their turn, while the network runs
CameraOf = Callable[[NamedFrame, int, int], Intrinsics | None]  # by height and width of its picture, px


@dataclass(frozen=True)
class Written:
    """A frame whose depth was written."""

    files: tuple[Path, ...]
    was_resized: bool  # the picture's size was not the contract's
    num_nonfinite: int  # values that the network gave as NaN or Inf


@dataclass(frozen=True)
class Skipped:
    """A frame that was left out, and why."""

    reason: str


@dataclass(frozen=True)
class Kept:
    """A frame whose results were there already."""


Read = npt.NDArray[np.uint8] | Skipped | Kept


def predict(
    estimate: DepthEstimator,
    sources: Sequence[Source],
    out: Path,
    formats: Sequence[str],
    *,
    camera: Intrinsics | None = None,
    colouring: Colouring = PLAIN,
    resume: bool = False,
    advance: Callable[[], None] = lambda: None,
) -> Iterator[Written | Skipped | Kept]:
    """Write the depth of every frame below `out`, in every format, at the picture's own size.

    camera: at the contract's source size, above all that calibration, pictures and contract say. colouring: of depth
    that is drawn. resume: leave out frames whose results are all there. Raises UsageError where a film is asked for and
    sources cannot each have one of their own, and where a cloud is asked for of a picture whose camera is not known.
    """
    kinds = tuple(dict.fromkeys(formats))
    check_apart(kinds)
    camera_of: CameraOf = functools.partial(_camera_of, estimate, camera)
    if not any(SINKS[kind].uses_camera for kind in kinds):
        camera_of = _no_camera
    writing = Writing(estimate.range_m, estimate.contract.from_network.distance, colouring, resume)

    def is_there(frame: NamedFrame) -> bool:
        return resume and all(has_result(kind, out, frame.film, frame.name) for kind in kinds)

    with contextlib.ExitStack() as stack:
        writers = [stack.enter_context(open_sink(kind, out, writing)) for kind in kinds]
        if any(SINKS[kind].suffix is None for kind in kinds):
            check_films(sources)
        out.mkdir(parents=True, exist_ok=True)  # where that cannot be, no frame could be written
        counts: Counter[str] = Counter()  # frames of each film so far
        for frame, read in stack.enter_context(contextlib.closing(_reads(sources, is_there))):
            index, counts[frame.film] = counts[frame.film], counts[frame.film] + 1
            yield (
                read if isinstance(read, (Skipped, Kept)) else _write(estimate, camera_of, frame, index, read, writers)
            )
            advance()


def _reads(
    sources: Sequence[Source], is_there: Callable[[NamedFrame], bool]
) -> Generator[tuple[NamedFrame, Read], None, None]:
    """Every frame, read ahead where it is not a camera's: one of these that waits for its turn is not the newest."""
    for is_live, group in itertools.groupby(sources, key=lambda source: source.is_live):
        frames = _read(list(group), is_there)
        if is_live:
            yield from frames
        else:
            with reading_ahead(frames, AHEAD) as ahead:
                yield from ahead


def _read(sources: Sequence[Source], is_there: Callable[[NamedFrame], bool]) -> Iterator[tuple[NamedFrame, Read]]:
    for source in sources:
        for frame in source.frames():
            if is_there(frame):
                yield frame, Kept()
                continue
            try:
                yield frame, frame.read()
            except BadInputError as error:
                yield frame, Skipped(str(error))
            except MemoryError:
                yield frame, Skipped(f"{frame.name}: too large for this machine's memory; make the picture smaller")


def _write(
    estimate: DepthEstimator,
    camera_of: CameraOf,
    frame: NamedFrame,
    index: int,
    picture: npt.NDArray[np.uint8],
    writers: Sequence[Write],
) -> Written | Skipped:
    height_px, width_px, _ = picture.shape
    contract = estimate.contract
    try:
        detail = estimate.detail(frame_of(picture, contract))
        depth_m = depth_at_picture_size(detail.depth_m, contract, width_px, height_px)
        camera = camera_of(frame, height_px, width_px)
        prediction = Prediction(
            frame.name, picture, depth_m, frame.film, frame.frames_per_s, camera, frame.recorded, index
        )
        files = tuple(write(prediction) for write in writers)
    except BadInputError as error:
        return Skipped(str(error))
    except MemoryError:
        return Skipped(f"{frame.name}: too large for this machine's memory; make the picture smaller")
    except OSError as error:
        if error.errno not in OF_ONE_NAME:
            raise
        return Skipped(f"{error.filename or frame.name}: cannot be written ({error.strerror}); rename the picture")
    was_resized = (height_px, width_px) != (contract.source.height_px, contract.source.width_px)
    return Written(files, was_resized, detail.health.num_nonfinite)


def _no_camera(_frame: NamedFrame, _height_px: int, _width_px: int) -> None:
    """Of a run whose formats have no use for it: a picture's EXIF would be a second look into each file."""


def _camera_of(
    estimate: DepthEstimator, asked: Intrinsics | None, frame: NamedFrame, height_px: int, width_px: int
) -> Intrinsics | None:
    """The camera at the picture's size: asked for, of the CameraInfo, the calibration, EXIF, the contract."""
    contract, calibration = estimate.contract, estimate.calibration
    known = asked
    if known is None and (measured := frame.measured_camera(height_px, width_px)) is not None:
        return measured
    known = known or (calibration.intrinsics if calibration else None)
    if known is None and (own := frame.camera()) is not None:
        return own
    known = known or contract.intrinsics
    return None if known is None else camera_at_picture_size(known, contract, width_px, height_px)
