"""Depth that came from anywhere, as files: for each frame one .npy in metres, or one 16-bit PNG, in mm unless said."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from mde_runtime.bundle import DAMAGED_ARRAYS
from mde_runtime.contract import MAX_SIDE_PX
from mde_runtime.errors import BadInputError
from mde_runtime.files import check_regular
from mde_runtime.sources.pictures import DAMAGED_PICTURE

Depth = npt.NDArray[np.float32]

SUFFIXES = (".npy", ".png", ".depth.png")  # the last is what mde-predict calls its own
MILLIMETRES = 1000.0  # levels per metre
SIXTEEN_BIT_MODES = ("I;16", "I;16B", "I;16L", "I")  # Pillow 10 gave 16-bit grey as I


def depth_of_frame(folder: Path, name: str, levels_per_metre: float = MILLIMETRES) -> Depth:
    """The depth of the frame `name`, (H, W) metres. levels_per_metre: of a PNG.

    Raises BadInputError for none, two, or what is no depth.
    """
    found = [path for suffix in SUFFIXES if (path := folder / f"{name}{suffix}").exists()]
    if len(found) != 1:
        problem = f"both {found[0].name} and {found[1].name}" if found else "no depth"
        raise BadInputError(
            f"{folder}: {problem} for the frame {name}; give one {name}.npy (metres) or {name}.png (16 bits, mm)"
        )
    path = found[0]
    check_regular(path)
    return _from_npy(path) if path.suffix == ".npy" else _from_png(path, levels_per_metre)


def _check_map(path: Path, shape: tuple[int, ...]) -> None:
    """Before memory is taken for it."""
    if len(shape) != 2 or 0 in shape or max(shape) > MAX_SIDE_PX:
        raise BadInputError(f"{path}: is {shape}, not a map of height and width; save one map per file")


def _from_npy(path: Path) -> Depth:
    """Metres. Axes of length 1 are what frameworks put around a map."""
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except DAMAGED_ARRAYS as error:
        raise BadInputError(f"{path}: not a .npy file of numbers ({error}); save it again with numpy.save") from error
    if not isinstance(values, np.ndarray) or not np.issubdtype(values.dtype, np.floating):
        kind = values.dtype if isinstance(values, np.ndarray) else "an archive"
        raise BadInputError(
            f"{path}: holds {kind}, but metres must be floating-point numbers; convert to metres, then save"
        )
    sides = tuple(side for side in values.shape if side != 1) if values.ndim > 2 else values.shape
    _check_map(path, sides)
    return np.array(values, np.float32).reshape(sides)


def _from_png(path: Path, levels_per_metre: float) -> Depth:
    """Levels to metres."""
    try:
        with Image.open(path, formats=("PNG",)) as image:
            if image.mode not in SIXTEEN_BIT_MODES:
                raise BadInputError(
                    f"{path}: a PNG of mode {image.mode}, but depth in millimetres is a 16-bit grey PNG; write that, "
                    "or npy"
                )
            _check_map(path, (image.height, image.width))
            levels = np.asarray(image)
    except DAMAGED_PICTURE as error:
        raise BadInputError(f"{path}: not a readable PNG ({error}); write it again") from error
    depth_m: Depth = levels.astype(np.float32) / np.float32(levels_per_metre)
    return depth_m
