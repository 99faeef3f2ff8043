"""A whole split decoded once, so that decoding never starves the model: in memory, or in a file that is mapped."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from mde_runtime.errors import BadInputError
from mde_runtime.progress import progress
from mde_train.data.crop import advice
from mde_train.data.frame_cache import Records, stored
from mde_train.data.samples import FrameSet, Sample

DepthType = Literal["float32", "float16"]

SHARE_OF_MEMORY = 0.25  # what a split may take of it; the rest is for the model, other splits and everybody else


class Change(NamedTuple):
    """What is done to every sample before it is kept, and that in words: they are part of a kept file's name."""

    of: Callable[[Sample], Sample]
    how: str


UNCHANGED = Change(lambda sample: sample, "")


@dataclass(frozen=True, eq=False)
class FrameArrays:
    """The samples of a split, stacked."""

    names: tuple[str, ...]
    frames: npt.NDArray[np.uint8]  # (N, H, W, 3), RGB
    depth_m: npt.NDArray[np.floating]  # (N, H, W), metres; 0 where nothing was measured
    valid: npt.NDArray[np.bool_]  # (N, H, W)
    sha256: str  # of the FrameSet that they were read from

    def __len__(self) -> int:
        return len(self.names)


def load_arrays(
    samples: FrameSet,
    depth_dtype: DepthType = "float32",
    *,
    change: Change = UNCHANGED,
    is_mapped: bool | None = None,
) -> FrameArrays:
    """Read every sample. A pixel takes 8 bytes, with float16 depth 6.

    is_mapped: the arrays are a file in the cache folder, written once for this data set, of which the system keeps in
    memory what is used; by default, where they would take more than a quarter of the memory. float16 is half a
    millimetre fine at 1 m and 8 mm at 16 m. Raises BadInputError when frames differ in size.
    """
    if not len(samples):
        raise BadInputError(f"{samples.root}: no frame in {samples.split}")
    form = _form(change.of(samples[0]).depth_m.shape, depth_dtype)
    if is_mapped is None:
        is_mapped = len(samples) * form.itemsize > SHARE_OF_MEMORY * _memory_bytes()
    fill = partial(_fill, samples, change)
    if is_mapped:
        name = "-".join([samples.sha256, depth_dtype, *filter(None, [change.how])])
        kept = stored(name, len(samples), form, fill)
    else:
        kept = np.empty(len(samples), form)
        with progress(f"reading {samples.split}", total=len(samples)) as advance:
            for index in range(len(samples)):
                fill(kept, index)
                advance()
    return FrameArrays(samples.names, kept["frame"], kept["depth_m"], kept["valid"], samples.sha256)


def _form(shape: tuple[int, ...], depth_dtype: DepthType) -> np.dtype[np.void]:
    """One sample in memory. Depth first, since its numbers have to lie at multiples of their size."""
    return np.dtype([("depth_m", depth_dtype, shape), ("frame", np.uint8, (*shape, 3)), ("valid", np.bool_, shape)])


def _fill(samples: FrameSet, change: Change, kept: Records, index: int) -> None:
    sample, record = change.of(samples[index]), kept[index]
    if sample.depth_m.shape != record["depth_m"].shape:
        sizes = [sample.depth_m.shape, record["depth_m"].shape]
        raise BadInputError(
            f"{samples.root}: frame {sample.name} of {samples.split} has {_px(sizes[0])}, frame {samples.names[0]} has "
            f"{_px(sizes[1])}; {advice(samples.root, sizes)}"
        )
    farthest_m = np.finfo(record["depth_m"].dtype).max  # of float16 65,504 m: a sky of 1e10 m would be no number
    record["frame"], record["valid"] = sample.frame, sample.valid
    record["depth_m"] = np.minimum(sample.depth_m, farthest_m)


def _px(size: tuple[int, ...]) -> str:
    return f"{size[0]}x{size[1]} px"


def _memory_bytes() -> float:
    """The machine's memory; without end where the system does not say, as on Windows."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return float("inf")
