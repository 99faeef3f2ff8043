"""A whole split decoded once, so that decoding never starves the model: in memory, or in files that are mapped."""

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from mde_runtime.cache import cache_dir
from mde_runtime.errors import BadInputError, MachineError
from mde_runtime.progress import progress
from mde_train.data.samples import FrameSet

DepthType = Literal["float32", "float16"]

SHARE_OF_MEMORY = 0.5  # what a split may take of it; the rest is for the model and for everybody else


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


def load_arrays(samples: FrameSet, depth_dtype: DepthType = "float32", *, is_mapped: bool | None = None) -> FrameArrays:
    """Read every sample. A pixel takes 8 bytes, with float16 depth 6.

    is_mapped: the arrays are files in the cache folder, written once for this data set, of which the system keeps in
    memory what is used; by default, where they would take more than half of the memory. float16 is half a millimetre
    fine at 1 m and 8 mm at 16 m. Raises BadInputError when frames differ in size.
    """
    if not len(samples):
        raise BadInputError(f"{samples.root}: no frame in {samples.split}")
    height, width = samples[0].depth_m.shape
    shape = (len(samples), height, width)
    size_bytes = int(np.prod(shape)) * (3 + 1 + np.dtype(depth_dtype).itemsize)
    if is_mapped is None:
        is_mapped = size_bytes > SHARE_OF_MEMORY * _memory_bytes()
    if is_mapped:
        frames, depth_m, valid = _mapped(samples, shape, depth_dtype, size_bytes)
    else:
        frames, depth_m, valid = (np.empty(*form) for form in _forms(shape, depth_dtype).values())
        _fill(samples, frames, depth_m, valid)
    return FrameArrays(samples.names, frames, depth_m, valid, samples.sha256)


def _forms(shape: tuple[int, ...], depth_dtype: DepthType) -> dict[str, tuple[tuple[int, ...], npt.DTypeLike]]:
    return {"frames": ((*shape, 3), np.uint8), "depth_m": (shape, depth_dtype), "valid": (shape, np.bool_)}


Arrays = tuple[npt.NDArray[np.uint8], npt.NDArray[np.floating], npt.NDArray[np.bool_]]


def _mapped(samples: FrameSet, shape: tuple[int, ...], depth_dtype: DepthType, size_bytes: int) -> Arrays:
    """The arrays as files in the cache folder, written now if they are not there yet."""
    folder = cache_dir() / "frames" / f"{samples.sha256}-{depth_dtype}"
    if not folder.exists():
        folder.parent.mkdir(exist_ok=True)
        free_bytes = shutil.disk_usage(folder.parent).free
        if size_bytes > free_bytes:
            raise MachineError(
                f"{folder.parent}: {samples.split} takes {size_bytes / 1e9:.1f} GB, {free_bytes / 1e9:.1f} are free; "
                "set MDE_CACHE to a folder with more room"
            )
        draft = Path(tempfile.mkdtemp(dir=folder.parent, prefix="."))
        try:
            arrays = [
                np.lib.format.open_memmap(draft / f"{name}.npy", "w+", dtype, form)
                for name, (form, dtype) in _forms(shape, depth_dtype).items()
            ]
            _fill(samples, *arrays)
            for array in arrays:
                array.flush()
            try:
                draft.rename(folder)
            except OSError:  # another process of the same run was first, with the same content
                if not folder.exists():
                    raise
        finally:
            shutil.rmtree(draft, ignore_errors=True)  # not there any more when all went well
    # "c": what is written stays in memory; torch warns of arrays that cannot be written
    frames, depth_m, valid = (np.load(folder / f"{name}.npy", mmap_mode="c") for name in _forms(shape, depth_dtype))
    return frames, depth_m, valid


def _fill(
    samples: FrameSet,
    frames: npt.NDArray[np.uint8],
    depth_m: npt.NDArray[np.floating],
    valid: npt.NDArray[np.bool_],
) -> None:
    with progress(f"reading {samples.split}", total=len(samples)) as advance:
        for index, sample in enumerate(samples):
            if sample.depth_m.shape != depth_m.shape[1:]:
                raise BadInputError(
                    f"{samples.root}: frame {sample.name} of {samples.split} has {sample.depth_m.shape[0]}x"
                    f"{sample.depth_m.shape[1]} px, frame {samples.names[0]} has {depth_m.shape[1]}x"
                    f"{depth_m.shape[2]} px; train on frames of one size"
                )
            frames[index], depth_m[index], valid[index] = sample.frame, sample.depth_m, sample.valid
            advance()


def _memory_bytes() -> float:
    """The machine's memory; without end where the system does not say, as on Windows."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return float("inf")
