"""The labelled part of NYU Depth V2: nyu_depth_v2_labeled.mat with splits.mat beside it, 795 and 654 of 1449 frames.

The first is MATLAB v7.3, which is HDF5 with the axes reversed; the second is an older format, which needs scipy. The
depth is `rawDepths`: what the sensor measured, brought to the camera's view, 0 where it measured nothing. (`depths` has
its holes painted in, and paint is no measurement.)
"""

import contextlib
import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mde_runtime import installation
from mde_runtime.contract import MAX_SIDE_PX
from mde_runtime.errors import BadInputError, MachineError, one_line, reason_of
from mde_runtime.files import check_regular
from mde_train.data.samples import FrameSet, Sample, Source, sample_of

if TYPE_CHECKING:
    import h5py

FRAMES_FILE, SPLITS_FILE = "nyu_depth_v2_labeled.mat", "splits.mat"
# An array of a MATLAB file as JSON, whatever type of number it was kept in; packages come from where ours do.
READ_ARRAY = """
import sys
sys.path[:] = sys.argv[3:]
import json
from scipy.io.matlab import loadmat
array = loadmat(sys.argv[1], variable_names=[sys.argv[2]])[sys.argv[2]]
print(json.dumps(array.ravel().tolist() if getattr(array, "dtype", None) and array.dtype.kind in "iuf" else []))
"""
INDICES = {"train": "trainNdxs", "test": "testNdxs"}  # in splits.mat, counted from 1


def matches(root: Path) -> bool:
    """Whether the folder holds the file."""
    return (root / FRAMES_FILE).is_file()


def splits(root: Path) -> tuple[str, ...]:
    """Both, once splits.mat is there too."""
    if not (root / SPLITS_FILE).is_file():
        raise BadInputError(f"{root / SPLITS_FILE}: no such file; download it from the same page as {FRAMES_FILE}")
    return tuple(INDICES)


def open_split(root: Path, split: str) -> FrameSet:
    """The split's samples, named by their number in the file, from 1. Raises BadInputError when a file is no such."""
    path = root / FRAMES_FILE
    with _opened(path) as file:
        num_frames = _checked(path, file)
    numbers = _numbers(root / SPLITS_FILE, INDICES[split], num_frames)
    sources = [Source(str(number), (path,), partial(_read, path, number)) for number in numbers]
    return FrameSet(root, split, sources)


def _read(path: Path, number: int) -> Sample:
    with _opened(path) as file:
        frame = np.ascontiguousarray(file["images"][number - 1].transpose(2, 1, 0))
        depth_m = np.ascontiguousarray(file["rawDepths"][number - 1].T, np.float32)
    if not np.isfinite(depth_m).all():
        raise BadInputError(f"{path}: rawDepths of frame {number} holds NaN or Inf; copy the file again")
    return sample_of(str(number), frame, depth_m)


@contextlib.contextmanager
def _opened(path: Path) -> "Iterator[h5py.File]":
    try:
        import h5py
    except ImportError as error:
        raise MachineError(f"{path}: needs h5py; {installation.adding('train')}") from error
    try:
        with h5py.File(path, "r") as file:
            yield file
    # h5py's words for no such format, cut off, and damaged within: types, sizes, names
    except (OSError, ValueError, TypeError, LookupError, RuntimeError) as error:
        raise BadInputError(f"{path}: not a whole MATLAB v7.3 file ({reason_of(error)}); copy it again") from error


def _checked(path: Path, file: "h5py.File") -> int:
    """The number of frames. Raises BadInputError unless frames and depth are there and fit each other."""
    import h5py

    for name, dtype in (("images", np.uint8), ("rawDepths", np.float32)):
        _check_own(path, file, name)
        if not isinstance(file.get(name), h5py.Dataset) or file[name].dtype != dtype:
            raise BadInputError(f"{path}: contains no {np.dtype(dtype)} array {name}; is it {FRAMES_FILE}?")
    images, depths = file["images"].shape, file["rawDepths"].shape
    if len(images) != 4 or images[1] != 3 or (images[0], *images[2:]) != depths or max(depths[1:]) > MAX_SIDE_PX:
        raise BadInputError(f"{path}: images {images} and rawDepths {depths} are not (N, 3, W, H) and (N, W, H)")
    return int(images[0])


def _check_own(path: Path, file: "h5py.File", name: str) -> None:
    """Raise BadInputError where an array lies in another file: a data set reads nothing but its own."""
    import h5py

    link = file.get(name, getlink=True)
    leads_out = link is not None and not isinstance(link, h5py.HardLink)
    found = None if leads_out else file.get(name)
    if leads_out or (isinstance(found, h5py.Dataset) and (found.external or found.is_virtual)):
        raise BadInputError(f"{path}: takes {name} from another file, which is never opened; copy the file again")


def _numbers(path: Path, key: str, num_frames: int) -> list[int]:
    numbers = _whole_numbers(_listed(path, key))
    if not numbers or min(numbers) < 1 or max(numbers) > num_frames or len(set(numbers)) < len(numbers):
        raise BadInputError(
            f"{path}: {key} does not number the {num_frames} frames of {FRAMES_FILE} from 1, each once; copy it again"
        )
    return numbers


def _listed(path: Path, key: str) -> list[float]:
    """An array's values; none where they are no numbers. Read in a process of its own: scipy crashes on some files."""
    if importlib.util.find_spec("scipy") is None:
        raise MachineError(f"{path}: needs scipy; {installation.adding('train')}")
    check_regular(path)
    arguments = (str(path), key, *filter(None, sys.path))
    done = subprocess.run([sys.executable, "-I", "-c", READ_ARRAY, *arguments], capture_output=True, check=False)
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise BadInputError(f"{path}: contains no readable {key} ({one_line(last)[:200]}); copy it again")
    values: list[float] = json.loads(done.stdout)
    return values


def _whole_numbers(values: list[float]) -> list[int]:
    """The values as what they are; none where some are no whole numbers."""
    return [int(value) for value in values] if all(float(value).is_integer() for value in values) else []
