"""The places where the error of a network lies, on a data set's held-out frames.

    python -m lab.held_back model.mde DATA

Distance, depth edges, kinds of frame, each frame's scale, and training frames against held-out ones. Depth and truth
are clipped to the model's range. RMSE is over all pixels of a group at once; `error` is the group's share of all
squared error, `pixels` its share of all pixels. A group with more error than pixels is where to look. With `each
frame's scale` every frame is first multiplied by its median of truth / depth, which no one knows: what remains is
shape.
"""

import itertools
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt

from mde_bench.accuracy.anatomy import BIN_ENDS, depth_edges
from mde_bench.accuracy.frames import as_the_camera_gives_it
from mde_bench.report.markdown import markdown_table
from mde_bench.subjects.estimator import open_chosen
from mde_runtime.command import PATH, Command, Whole
from mde_runtime.contract import MAX_LEVEL
from mde_runtime.evenly_spaced import evenly_spaced
from mde_runtime.precision import AUTO
from mde_runtime.progress import progress
from mde_train.data import open_split, splits_of

Maps = npt.NDArray[np.float32]
CLOSE_SHARE, CLOSE_M = 0.1, 3.0  # a frame where so many of the pixels are nearer stands before something


@dataclass(frozen=True, eq=False)
class Seen:
    """Frames of a split. level: mean of each frame, 0 to 1; the rest (N, H, W), metres."""

    level: npt.NDArray[np.float64]
    depth_m: Maps
    truth_m: Maps
    valid: npt.NDArray[np.bool_]

    @property
    def squared(self) -> npt.NDArray[np.float64]:
        """The squared error of every pixel, m²; 0 where nothing was measured."""
        return np.where(self.valid, (self.depth_m.astype(np.float64) - self.truth_m) ** 2, 0.0)


@click.command(cls=Command)
@click.argument("model", type=PATH)
@click.argument("data", type=PATH)
@click.option("--num-frames", type=Whole(1), default=600, show_default=True, help="Of each split, evenly spaced.")
def main(model: Path, data: Path, num_frames: int) -> None:
    """Take the error of MODEL on DATA apart, and print the table."""
    first, *_, last = splits_of(data)
    train, _ = _seen(model, data, first, num_frames)
    val, range_m = _seen(model, data, last, num_frames)
    click.echo(table_of(train, val, range_m))


def _seen(model: Path, data: Path, split: str, num_frames: int) -> tuple[Seen, tuple[float, float]]:
    """Frames of a split, evenly spaced, with the depth of the fastest verified backend, and the model's range."""
    subject, frames = open_chosen(model, AUTO, AUTO, None, None), open_split(data, split)
    picked = evenly_spaced(len(frames), num_frames)
    level, depth_m, truth_m, valid = [], [], [], []
    with progress(f"frames of {split}", len(picked)) as advance:
        for index in picked:
            sample = frames[index]
            level.append(float(sample.frame.mean()) / MAX_LEVEL)
            depth_m.append(subject.answer(as_the_camera_gives_it(sample, subject.contract.source)).depth_m)
            truth_m.append(np.clip(sample.depth_m, *subject.range_m))
            valid.append(sample.valid)
            advance()
    range_m = subject.range_m
    subject.close()
    return Seen(np.array(level), np.stack(depth_m), np.stack(truth_m), np.stack(valid)), range_m


def table_of(train: Seen, val: Seen, range_m: tuple[float, float]) -> str:
    """A row for each group of pixels of val, below the two splits as wholes; in Markdown."""
    squared, total = val.squared, float(val.squared.sum())
    num_valid = int(val.valid.sum())

    def row(name: str, inside: npt.NDArray[np.bool_]) -> tuple[str, str, str, str]:
        inside = np.broadcast_to(inside, val.valid.shape) & val.valid
        num = int(inside.sum())
        error = float(squared[inside].sum())
        rmse = f"{np.sqrt(error / num):.2f} m" if num else ""
        return name, f"{num / num_valid:.1%}", rmse, f"{error / total:.1%}"

    rows = [
        ("training frames", "", f"{_rmse(train):.2f} m", ""),
        ("held-out frames", "100.0%", f"{_rmse(val):.2f} m", "100.0%"),
    ]
    near_m, far_m = range_m
    within = val.truth_m < far_m
    rows.append(row(f"nearer than {far_m:g} m", within))
    rows.append(("the same, with each frame's scale", "", f"{_rmse(rescaled(val, far_m), within):.2f} m", ""))
    ends_m = [near_m + end * (far_m - near_m) for end in BIN_ENDS]
    for begin, end in itertools.pairwise(ends_m):
        inside = (val.truth_m >= begin) & ((val.truth_m < end) if end < far_m else (val.truth_m < far_m))
        rows.append(row(f"{begin:g} to {end:g} m", inside))
    rows.append(row(f"beyond {far_m:g} m, sky included", val.truth_m >= far_m))
    rows.append(row("at depth edges", depth_edges(val.truth_m)))
    for name, chosen in kinds_of_frame(val, far_m).items():
        rows.append(row(name, chosen[:, None, None]))
    return markdown_table(("pixels of", "pixels", "RMSE", "error"), rows)


def kinds_of_frame(seen: Seen, far_m: float) -> dict[str, npt.NDArray[np.bool_]]:
    """Which frames are of each kind, (N,). The thirds are of these frames."""
    close = _mean_of(seen, lambda truth_m: truth_m < CLOSE_M) > CLOSE_SHARE
    beyond = _mean_of(seen, lambda truth_m: truth_m >= far_m)
    kinds = {f"frames with {CLOSE_SHARE:.0%} of pixels nearer than {CLOSE_M:g} m": close}
    for values, names in (
        (beyond, ("most closed", "middle", "most open")),
        (seen.level, ("darkest", "middle", "brightest")),
    ):
        order = np.argsort(np.argsort(values, kind="stable"), kind="stable") * 3 // len(values)
        what = "by what is beyond range" if values is beyond else "by brightness"
        kinds |= {f"{name} third of frames, {what}": order == index for index, name in enumerate(names)}
    return kinds


def rescaled(seen: Seen, far_m: float) -> Seen:
    """Every frame multiplied by its median of truth / depth, over what was measured nearer than far_m."""
    depth_m = seen.depth_m.copy()
    for depth, truth, valid in zip(depth_m, seen.truth_m, seen.valid, strict=True):
        counts = valid & (depth > 0) & (truth < far_m)
        if counts.any():
            depth *= np.median(truth[counts] / depth[counts])
    return replace(seen, depth_m=np.minimum(depth_m, far_m))


def _mean_of(seen: Seen, condition: Callable[[Maps], npt.NDArray[np.bool_]]) -> npt.NDArray[np.float64]:
    hits = condition(seen.truth_m) & seen.valid
    shares: npt.NDArray[np.float64] = hits.mean((1, 2)) / np.maximum(seen.valid.mean((1, 2)), 1e-9)
    return shares


def _rmse(seen: Seen, inside: npt.NDArray[np.bool_] | None = None) -> float:
    counts = seen.valid if inside is None else seen.valid & inside
    return float(np.sqrt(seen.squared[counts].mean())) if counts.any() else float("nan")


if __name__ == "__main__":
    sys.exit(main())
