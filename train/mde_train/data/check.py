"""Read a whole data set and say what is in it: counts, sizes, ranges, bad frames, and what leaks between the splits."""

import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from mde_runtime.errors import BadInputError
from mde_runtime.progress import progress
from mde_train.data import name_of_layout, open_split, splits_of
from mde_train.data.samples import FrameSet, Sample, Skipped

Float32 = npt.NDArray[np.float32]

# Ends of fine bins, each 0.5 % above the last: percentiles come from them, so no depth has to be kept.
FINE_M = np.geomspace(1e-3, 1e5, 3694)
HISTOGRAM_M = (0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0)  # lower ends; the last bin is open
THUMBNAIL_PX = (32, 18)
NUM_THUMBNAIL_PX = THUMBNAIL_PX[0] * THUMBNAIL_PX[1]
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
    damaged: tuple[str, ...]  # what is wrong with each frame that cannot be read; none of them is in the figures
    sizes_px: dict[str, int]  # how many frames have which HEIGHTxWIDTH
    valid_share: float
    depth_min_m: float
    depth_mean_m: float
    depth_max_m: float
    depth_p1_m: float  # the 1st and 99th percentile of the valid pixels, to 0.5 %
    depth_p99_m: float
    histogram: dict[str, float]  # the share of the valid pixels from one depth to the next
    sha256: str  # empty where a frame is damaged


@dataclass(frozen=True)
class Twins:
    """A frame of the last split, and the training frame that looks most like it."""

    name: str
    train_name: str
    difference: float  # grey levels


@dataclass(frozen=True)
class DataReport:
    """What a data set holds."""

    layout: str  # a name of the table of layouts
    splits: tuple[SplitReport, ...]
    num_near_duplicates: int  # frames of the last split that training frames all but show
    nearest: tuple[Twins, ...]  # the closest pairs, near-duplicates or not

    @property
    def num_damaged(self) -> int:
        """How many frames cannot be read."""
        return sum(len(split.damaged) for split in self.splits)


def check(root: Path) -> DataReport:
    """Read every frame and every depth map of every split. Raises BadInputError where the layout itself is broken."""
    reports, thumbnails, names = [], [], []
    for split in splits_of(root):
        report, seen = _report(open_split(root, split))
        reports.append(report)
        thumbnails.append(np.stack(list(seen.values())) if seen else np.empty((0, NUM_THUMBNAIL_PX), np.float32))
        names.append(tuple(seen))
    comparable = len(reports) > 1 and names[0] and names[-1]
    twins = _twins(names[-1], thumbnails[-1], names[0], thumbnails[0]) if comparable else []
    num_near = sum(pair.difference < NEAR_DUPLICATE_BELOW for pair in twins)
    return DataReport(
        name_of_layout(root),
        tuple(reports),
        num_near,
        tuple(sorted(twins, key=lambda pair: pair.difference)[:NUM_NEAREST]),
    )


class _Depths:
    """The figures of depth maps that come one after the other, over their valid pixels."""

    def __init__(self) -> None:
        self._num_pixels, self._sum_m, self._lowest_m, self._highest_m = 0, 0.0, np.inf, -np.inf
        self._counts = np.zeros(len(HISTOGRAM_M), np.int64)
        self._fine = np.zeros(len(FINE_M) + 1, np.int64)

    def add(self, sample: Sample) -> None:
        """Count a sample's depth."""
        measured_m = sample.depth_m[sample.valid]
        self._num_pixels += sample.depth_m.size
        self._counts += np.histogram(measured_m, [*HISTOGRAM_M, np.inf])[0]
        self._fine += np.histogram(measured_m, [0.0, *FINE_M, np.inf])[0]
        self._sum_m += float(measured_m.sum(dtype=np.float64))
        self._lowest_m = min(self._lowest_m, float(measured_m.min(initial=np.inf)))
        self._highest_m = max(self._highest_m, float(measured_m.max(initial=-np.inf)))

    def _percentile_m(self, share: float) -> float:
        if not self._fine.any():
            return 0.0
        reached = np.cumsum(self._fine) >= share * self._fine.sum()
        return float(FINE_M[min(int(np.argmax(reached)), len(FINE_M) - 1)])

    def report(self, samples: FrameSet, sizes_px: dict[str, int], damaged: tuple[str, ...]) -> SplitReport:
        """What they are, for a split."""
        num_valid = int(self._counts.sum())
        ends = [
            *(f"{low:g}-{high:g} m" for low, high in itertools.pairwise(HISTOGRAM_M)),
            f"{HISTOGRAM_M[-1]:g} m and more",
        ]
        shares = (int(count) / max(num_valid, 1) for count in self._counts)
        return SplitReport(
            split=samples.split,
            num_frames=sum(sizes_px.values()),
            skipped=samples.skipped,
            damaged=damaged,
            sizes_px=sizes_px,
            valid_share=num_valid / max(self._num_pixels, 1),
            depth_min_m=self._lowest_m if num_valid else 0.0,
            depth_mean_m=self._sum_m / max(num_valid, 1),
            depth_max_m=self._highest_m if num_valid else 0.0,
            depth_p1_m=self._percentile_m(0.01),
            depth_p99_m=self._percentile_m(0.99),
            histogram=dict(zip(ends, shares, strict=True)),
            sha256="" if damaged else samples.sha256,
        )


def _report(samples: FrameSet) -> tuple[SplitReport, dict[str, Float32]]:
    """A split's report, and the thumbnails of the frames that can be read, by name."""
    depths, sizes_px = _Depths(), dict[str, int]()
    damaged, thumbnails = [], {}
    with progress(f"checking {samples.split}", total=len(samples)) as advance:
        for index, name in enumerate(samples.names):
            try:
                sample = samples[index]
            except BadInputError as error:
                damaged.append(str(error))
            else:
                size = "x".join(map(str, sample.depth_m.shape))
                sizes_px[size] = sizes_px.get(size, 0) + 1
                depths.add(sample)
                thumbnails[name] = _thumbnail(sample)
            advance()
    return depths.report(samples, sizes_px, tuple(damaged)), thumbnails


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
