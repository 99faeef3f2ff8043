"""From pictures to depth on disk. One frame at a time, so that memory stays flat; a bad frame costs only itself."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mde_runtime.errors import BadInputError
from mde_runtime.estimator import DepthEstimator
from mde_runtime.fitting import depth_at_picture_size, frame_of
from mde_runtime.sinks import Prediction, open_sink
from mde_runtime.sources import SourceFrame


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


def predict(
    estimate: DepthEstimator,
    frames: Sequence[SourceFrame],
    out: Path,
    formats: Sequence[str],
    moved_on: Callable[[], None] = lambda: None,
) -> Iterator[Written | Skipped]:
    """Write the depth of every frame below `out`, in every format, at the picture's own size."""
    contract = estimate.contract
    size = (contract.source.height_px, contract.source.width_px)
    with contextlib.ExitStack() as stack:
        writers = [stack.enter_context(open_sink(kind, out, contract)) for kind in dict.fromkeys(formats)]
        for frame in frames:
            try:
                picture = frame.read()
                detail = estimate.detail(frame_of(picture, contract))
                height_px, width_px, _ = picture.shape
                depth_m = depth_at_picture_size(detail.depth_m, contract, width_px, height_px)
                prediction = Prediction(frame.name, picture, depth_m)
                files = tuple(write(prediction) for write in writers)
                yield Written(files, (height_px, width_px) != size, detail.health.num_nonfinite)
            except BadInputError as error:
                yield Skipped(str(error))
            moved_on()
