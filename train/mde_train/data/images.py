"""Read one frame or one depth map from a file, checked before memory is taken for it."""

import struct
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError

import numpy as np
import numpy.typing as npt
from PIL import Image

from mde_runtime.contract import MAX_SIDE_PX
from mde_runtime.errors import BadInputError, reason_of
from mde_runtime.files import check_regular
from mde_runtime.sources.pictures import DAMAGED_PICTURE, read_picture

FEWER_BITS = ("L;2", "L;4")  # Pillow's names of what it decodes
# numpy parses a header as Python, and has an error for every way that it can be damaged
DAMAGED_HEADER = (
    *(OSError, EOFError, SyntaxError, TypeError, ValueError, LookupError, ArithmeticError, TokenError, RecursionError),
    struct.error,
)
BITS_OF_MODE = {"L": 8, "I;16": 16, "I;16B": 16, "I": 16}  # Pillow's names; its older versions widen 16 bits to "I"


def read_frame(path: Path) -> npt.NDArray[np.uint8]:
    """The picture as uint8 (H, W, 3), RGB, just as the runtime reads it. Raises BadInputError that names the file."""
    return np.array(read_picture(path))  # a copy: torch warns of arrays that cannot be written


def read_depth_npy(path: Path) -> npt.NDArray[np.float32]:
    """The depth map as float32 (H, W), in the file's own unit, every value finite.

    Raises BadInputError that names a file which is missing, damaged, of another shape or type, or holds NaN or Inf.
    """
    try:
        check_regular(path)
        stored = np.load(path, mmap_mode="r", allow_pickle=False)  # the header alone: shapes are checked before memory
    except FileNotFoundError as error:
        raise BadInputError(f"{path}: no such file; copy the data set again") from error
    except DAMAGED_HEADER as error:
        raise BadInputError(f"{path}: not a readable .npy file ({reason_of(error)}); copy or write it again") from error
    except MemoryError:  # of Python's parser, by nesting: no array was read yet
        raise BadInputError(
            f"{path}: not a readable .npy file (its header is nested); copy or write it again"
        ) from None
    if not isinstance(stored, np.ndarray) or not np.issubdtype(stored.dtype, np.floating):
        raise BadInputError(f"{path}: not an array of floating-point numbers; depth is float32 metres")
    _check_shape(path, stored.shape)
    depth = np.array(stored, np.float32)
    if not np.isfinite(depth).all():
        num_bad = int(np.count_nonzero(~np.isfinite(depth)))
        raise BadInputError(f"{path}: {num_bad} values are NaN or Inf; write 0 where nothing was measured")
    return depth


@dataclass(frozen=True, eq=False)
class Levels:
    """What a grey picture holds: whole numbers, and how many bits each has."""

    values: npt.NDArray[np.uint16]  # (H, W)
    num_bits: int  # 8 or 16


def read_levels(path: Path) -> Levels:
    """A grey PNG of 8 or 16 bits, as stored. Raises BadInputError that names a file which is anything else."""
    try:
        check_regular(path)
        with Image.open(path, formats=("PNG",)) as image:
            _check_shape(path, (image.height, image.width))
            if image.mode not in BITS_OF_MODE:
                raise BadInputError(f"{path}: a picture of mode {image.mode}; depth is a grey PNG of 8 or 16 bits")
            if any(tile[3] in FEWER_BITS for tile in image.tile):  # Pillow would stretch them to 255
                raise BadInputError(f"{path}: a grey PNG of fewer than 8 bits; depth has 8 or 16")
            return Levels(np.asarray(image).astype(np.uint16), BITS_OF_MODE[image.mode])
    except FileNotFoundError as error:
        raise BadInputError(f"{path}: no such file; copy the data set again") from error
    except MemoryError as error:
        raise BadInputError(f"{path}: does not fit into this machine's memory; make it smaller") from error
    except DAMAGED_PICTURE as error:
        raise BadInputError(f"{path}: not a readable picture ({reason_of(error)}); copy it again") from error


def check_same_size(frame_file: Path, frame: npt.NDArray[np.uint8], depth_file: Path, shape: tuple[int, ...]) -> None:
    """Raise BadInputError unless the depth map has the frame's height and width."""
    if frame.shape[:2] != shape:
        raise BadInputError(
            f"{depth_file}: depth of {shape[0]}x{shape[1]} px, but {frame_file.name} has "
            f"{frame.shape[0]}x{frame.shape[1]} px; make them the same size"
        )


def _check_shape(path: Path, shape: tuple[int, ...]) -> None:
    if len(shape) != 2 or not all(1 <= side <= MAX_SIDE_PX for side in shape):
        raise BadInputError(
            f"{path}: shape {'x'.join(map(str, shape)) or 'of a single number'}; "
            f"it must be height x width, each 1 to {MAX_SIDE_PX} px"
        )
