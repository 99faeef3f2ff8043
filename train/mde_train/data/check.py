"""Read a whole data set and say what is in it: counts, sizes, ranges, bad frames, and what leaks between the splits."""

import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from mde_runtime.progress import progress
from mde_train.data import open_split, splits_of
from mde_train.data.samples import FrameSet, Sample, Skipped

Float32 = npt.NDArray[np.float32]

HISTOGRAM_M = (0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0)  # lower ends; the last bin is open
THUMBNAIL_PX = (32, 18)
# Root mean square of the difference of two thumbnails, in grey levels of 255. In a continuous drive at street speed a
# tenth of the neighbours is below 4 (the car hardly moves) and half below 28; different streets are seldom below 15.
NEAR_DUPLICATE_BELOW = 6.0
NUM_NEAREST = 5


@dataclass(frozen=True)
class SplitReport:
    """What a split holds. Depth figures are over the valid pixels."""

    split: str
    num_frames: int
    skipped: tuple[Skipped, ...]
    sizes_px: dict[str, int]  # how many frames have which HEIGHTxWIDTH
    valid_share: float
    depth_min_m: float
    depth_mean_m: float
    depth_max_m: float
    histogram: dict[str, float]  # the share of the valid pixels from one depth to the next
    sha256: str


@dataclass(frozen=True)
class Twins:
    """A frame of the last split, and the training frame that looks most like it."""

    name: str
    train_name: str
    difference: float  # grey levels


@dataclass(frozen=True)
class DataReport:
    """What a data set holds."""

    splits: tuple[SplitReport, ...]
    num_near_duplicates: int  # frames of the last split that training frames all but show
    nearest: tuple[Twins, ...]  # the closest pairs, near-duplicates or not


def check(root: Path) -> DataReport:
    """Read every frame and every depth map of every split. Raises BadInputError at the first damaged file."""
    reports, thumbnails, names = [], [], []
    for split in splits_of(root):
        samples = open_split(root, split)
        report, seen = _report(samples)
        reports.append(report)
        thumbnails.append(seen)
        names.append(samples.names)
    twins = _twins(names[-1], thumbnails[-1], names[0], thumbnails[0]) if len(reports) > 1 else []
    num_near = sum(pair.difference < NEAR_DUPLICATE_BELOW for pair in twins)
    return DataReport(tuple(reports), num_near, tuple(sorted(twins, key=lambda pair: pair.difference)[:NUM_NEAREST]))


def _report(samples: FrameSet) -> tuple[SplitReport, Float32]:
    sizes_px: dict[str, int] = {}
    num_pixels, sum_m, lowest_m, highest_m = 0, 0.0, np.inf, -np.inf
    counts = np.zeros(len(HISTOGRAM_M), np.int64)
    thumbnails = np.empty((len(samples), THUMBNAIL_PX[0] * THUMBNAIL_PX[1]), np.float32)
    with progress(f"checking {samples.split}", total=len(samples)) as advance:
        for index, sample in enumerate(samples):
            size = "x".join(map(str, sample.depth_m.shape))
            sizes_px[size] = sizes_px.get(size, 0) + 1
            measured_m = sample.depth_m[sample.valid]
            num_pixels += sample.depth_m.size
            counts += np.histogram(measured_m, [*HISTOGRAM_M, np.inf])[0]
            sum_m += float(measured_m.sum(dtype=np.float64))
            lowest_m = min(lowest_m, float(measured_m.min(initial=np.inf)))
            highest_m = max(highest_m, float(measured_m.max(initial=-np.inf)))
            thumbnails[index] = _thumbnail(sample)
            advance()
    num_valid = int(counts.sum())
    ends = [
        *(f"{low:g}-{high:g} m" for low, high in itertools.pairwise(HISTOGRAM_M)),
        f"{HISTOGRAM_M[-1]:g} m and more",
    ]
    report = SplitReport(
        split=samples.split,
        num_frames=len(samples),
        skipped=samples.skipped,
        sizes_px=sizes_px,
        valid_share=num_valid / max(num_pixels, 1),
        depth_min_m=lowest_m if num_valid else 0.0,
        depth_mean_m=sum_m / max(num_valid, 1),
        depth_max_m=highest_m if num_valid else 0.0,
        histogram={end: int(count) / max(num_valid, 1) for end, count in zip(ends, counts, strict=True)},
        sha256=samples.sha256,
    )
    return report, thumbnails


def _thumbnail(sample: Sample) -> Float32:
    grey = Image.fromarray(sample.frame).convert("L").resize(THUMBNAIL_PX, Image.Resampling.BOX)
    return np.asarray(grey, np.float32).ravel()


def _twins(names: tuple[str, ...], these: Float32, train_names: tuple[str, ...], train: Float32) -> list[Twins]:
    """Each frame's nearest training frame."""
    twins = []
    train_squares = np.mean(train**2, axis=1)
    for name, thumbnail in zip(names, these, strict=True):
        squares = train_squares - 2 * (train @ thumbnail) / thumbnail.size + np.mean(thumbnail**2)
        nearest = int(np.argmin(squares))
        difference = float(np.sqrt(np.mean((train[nearest] - thumbnail) ** 2)))  # without the rounding of the products
        twins.append(Twins(name, train_names[nearest], difference))
    return twins
