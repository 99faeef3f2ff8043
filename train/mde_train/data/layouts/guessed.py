"""A folder of frames and a folder of depth that no file declares: found by what their files hold.

Frames are colour pictures, or grey ones of 8 bits where no colour goes with the depth (a grey picture may be a preview
of depth); depth is 16-bit PNG or floating-point `.npy`, and the two have the same names. A guess is for a start:
`mde-data check --write-layout` saves it as `layout.json`, where it can be corrected.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from mde_runtime import files, records
from mde_runtime.errors import BadInputError
from mde_train.data.layouts import folders
from mde_train.data.layouts.folders import DECLARATION, DEPTHS, FRAMES, SPLITS, Declaration
from mde_train.data.samples import FrameSet

COLOUR, GREY, DEPTH = "colour", "grey", "depth"
KINDS = {"RGB": COLOUR, "RGBA": COLOUR, "P": COLOUR, "CMYK": COLOUR, "YCbCr": COLOUR, "L": GREY, "I": DEPTH}  # Pillow's
MILLIMETRES, METRES = 0.001, 1.0
FARTHEST_M = 300.0  # the median of a depth map that is beyond it is in millimetres
MOST_FOLDERS = 200  # looked into: a data set has few


def matches(root: Path) -> bool:
    """Whether one pair of folders stands out. Raises BadInputError where several do."""
    return guess(root) is not None


def splits(root: Path) -> tuple[str, ...]:
    """As of a declared pair."""
    return folders.declared_splits(root, _guessed(root))


def open_split(root: Path, split: str) -> FrameSet:
    """As of a declared pair."""
    return folders.open_declared(root, _guessed(root), split)


def guess(root: Path) -> Declaration | None:
    """The declaration of the largest pair of folders; None where there is none.

    Raises BadInputError where two pairs are of one size, as those of a stereo camera are.
    """
    kinds: dict[str, dict[str, set[str]]] = {COLOUR: {}, GREY: {}, DEPTH: {}}
    for folder in _folders(root):
        if kind := _kind(folder):
            kinds[kind][str(folder.relative_to(root))] = _names(folder)
    sizes = _pairs(kinds[COLOUR], kinds[DEPTH]) or _pairs(kinds[GREY], kinds[DEPTH])
    if not sizes:
        return None
    most = max(sizes.values())
    first, *others = [pair for pair, size in sizes.items() if size == most]
    if others:
        pairs = ", ".join(f"{frames} with {depth}" for frames, depth in (first, *others))
        raise BadInputError(
            f"{root}: several folders could hold the frames and their depth: {pairs}; declare one pair in "
            f"{DECLARATION}, "
            "see mde-data check --help"
        )
    frames, depth = first
    return Declaration(frames, depth, _metres_per_unit(root / depth))


def _pairs(frames: dict[str, set[str]], depths: dict[str, set[str]]) -> dict[tuple[str, str], int]:
    """The pairs of folders that share names, and how many."""
    pairs = itertools.product(frames, depths)
    return {(frame, depth): num for frame, depth in pairs if (num := len(frames[frame] & depths[depth]))}


def write_declaration(root: Path) -> Path:
    """Save the guess as `layout.json`; gives the file. For a folder that `matches`."""
    path = root / DECLARATION
    files.write_text(path, records.dumps(_guessed(root)))
    return path


def _guessed(root: Path) -> Declaration:
    declared = guess(root)
    assert declared is not None  # `matches` came before
    return declared


def _folders(root: Path) -> list[Path]:
    """The folders in the root and in those, without hidden ones and the splits inside them."""
    found = []
    for folder in _subfolders(root):
        found += [folder, *_subfolders(folder)]
    return found[:MOST_FOLDERS]


def _subfolders(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.is_dir() and not path.is_symlink() and not path.name.startswith(".") and path.name not in SPLITS:
            yield path


def _files(folder: Path) -> list[Path]:
    """Its pictures and arrays, or those of its splits."""
    places = [folder / split for split in SPLITS if (folder / split).is_dir()] or [folder]
    suffixes = {*FRAMES, *DEPTHS}
    return [
        path
        for place in places
        for path in sorted(place.iterdir())
        if path.suffix.lower() in suffixes and not path.name.startswith(".")  # macOS leaves ._NAME beside each file
    ]


def _names(folder: Path) -> set[str]:
    return {path.stem for path in _files(folder)}


def _kind(folder: Path) -> str:
    """The kind of a folder by its first file; nothing where it is none."""
    first = next(iter(_files(folder)), None)
    if first is None:
        return ""
    try:
        if first.suffix.lower() == ".npy":
            array = np.load(first, mmap_mode="r", allow_pickle=False)
            return DEPTH if array.ndim == 2 and array.dtype.kind == "f" else ""
        with Image.open(first) as picture:
            return KINDS.get(picture.mode.split(";")[0], "")
    except (OSError, ValueError, EOFError, Image.DecompressionBombError):
        return ""


def _metres_per_unit(folder: Path) -> float:
    first = _files(folder)[0]
    if first.suffix.lower() == ".png":
        return MILLIMETRES
    values = np.load(first, mmap_mode="r", allow_pickle=False)
    measured = values[np.isfinite(values) & (values > 0)]
    return MILLIMETRES if measured.size and np.median(measured) > FARTHEST_M else METRES
