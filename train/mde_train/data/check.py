"""Read a whole data set and say what is in it: counts, sizes, ranges, bad frames."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mde_runtime.progress import progress
from mde_train.data.layouts import layout_of
from mde_train.data.samples import FrameSet, Skipped


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
    beyond_20_m_share: float
    sha256: str


def check(root: Path) -> list[SplitReport]:
    """Read every frame and every depth map of every split. Raises BadInputError at the first damaged file."""
    layout = layout_of(root)
    return [_report(layout.open_split(root, split, keep_bad_frames=False)) for split in layout.splits(root)]


def _report(samples: FrameSet) -> SplitReport:
    sizes_px: dict[str, int] = {}
    num_pixels = num_valid = num_far = 0
    sum_m, lowest_m, highest_m = 0.0, np.inf, -np.inf
    with progress(f"checking {samples.split}", total=len(samples)) as advance:
        for sample in samples:
            size = "x".join(map(str, sample.depth_m.shape))
            sizes_px[size] = sizes_px.get(size, 0) + 1
            measured_m = sample.depth_m[sample.valid]
            num_pixels += sample.depth_m.size
            num_valid += measured_m.size
            num_far += int(np.count_nonzero(measured_m >= 20))
            sum_m += float(measured_m.sum(dtype=np.float64))
            lowest_m = min(lowest_m, float(measured_m.min(initial=np.inf)))
            highest_m = max(highest_m, float(measured_m.max(initial=-np.inf)))
            advance()
    return SplitReport(
        split=samples.split,
        num_frames=len(samples),
        skipped=samples.skipped,
        sizes_px=sizes_px,
        valid_share=num_valid / num_pixels,
        depth_min_m=lowest_m,
        depth_mean_m=sum_m / max(num_valid, 1),
        depth_max_m=highest_m,
        beyond_20_m_share=num_far / max(num_valid, 1),
        sha256=samples.sha256,
    )
