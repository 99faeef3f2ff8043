"""Folders that a depth camera's recorder writes: its pictures, and the depth that goes with each.

    rgb|color|colour/NAME  depth/NAME    the same names, subfolders included: Open3D's recorders, `mde-data synth`
    rgb.txt  depth.txt                   lists of `seconds file`, paired by time: the TUM RGB-D benchmark

Source: Sturm et al., A Benchmark for the Evaluation of RGB-D SLAM Systems, IROS 2012 (lists, 5000 levels per metre).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mde_runtime.depth_files import MILLIMETRES, depth_of_frame
from mde_runtime.errors import BadInputError
from mde_runtime.evenly_spaced import evenly_spaced
from mde_runtime.frame_lists import file_inside, read_lines
from mde_runtime.numbers import real
from mde_runtime.sources.pictures import SUFFIXES

NUM_FRAMES = 64
PICTURES, DEPTH = ("rgb", "color", "colour"), "depth"  # folders
PICTURE_LIST, DEPTH_LIST = "rgb.txt", "depth.txt"
TUM_LEVELS_PER_METRE = 5000.0
MOST_APART_S = 0.02  # a picture and its depth, as in the benchmark's own tools


@dataclass(frozen=True)
class DepthPicture:
    """A picture of a depth camera, and where its depth lies."""

    picture: Path
    depth_folder: Path
    depth_name: str  # without its suffix
    levels_per_metre: float  # of depth in a PNG

    @property
    def depth_m(self) -> npt.NDArray[np.float32]:
        """Its depth, (H, W) metres."""
        return depth_of_frame(self.depth_folder, self.depth_name, self.levels_per_metre)


def depth_pictures(folder: Path, levels_per_metre: float | None = None) -> Sequence[DepthPicture]:
    """At most 64 pictures of a depth camera, evenly spaced, each with its depth. None: the scale of the layout.

    Raises BadInputError where there are none, or where the folder does not say which pictures go with its depth.
    """
    if (folder / PICTURE_LIST).is_file() and (folder / DEPTH_LIST).is_file():
        found = _listed(folder, levels_per_metre or TUM_LEVELS_PER_METRE)
    else:
        found = _same_names(folder, levels_per_metre or MILLIMETRES)
    return [found[index] for index in evenly_spaced(len(found), NUM_FRAMES)]


def _same_names(folder: Path, levels_per_metre: float) -> list[DepthPicture]:
    frames = _picture_folder(folder)
    pictures = sorted(path for path in frames.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not pictures:
        raise BadInputError(f"{frames}: no pictures; record them there, and the depth of each in {folder / DEPTH}")
    return [
        DepthPicture(path, folder / DEPTH / path.parent.relative_to(frames), path.stem, levels_per_metre)
        for path in pictures
    ]


def _picture_folder(folder: Path) -> Path:
    found = [folder / name for name in PICTURES if (folder / name).is_dir()]
    if len(found) != 1 or not (folder / DEPTH).is_dir():
        problem = f"both {found[0].name}/ and {found[1].name}/" if len(found) > 1 else "not a depth camera's folder"
        raise BadInputError(
            f"{folder}: {problem}; give pictures in one of rgb/ and color/ with depth/ beside it (the same names, .npy "
            f"in metres or 16-bit .png), or TUM's lists {PICTURE_LIST} and {DEPTH_LIST}"
        )
    return found[0]


def _listed(folder: Path, levels_per_metre: float) -> list[DepthPicture]:
    """Each picture of the one list with the depth of the other that is nearest in time; those without are left out."""
    pictures, depths = (_stamped(folder, folder / name) for name in (PICTURE_LIST, DEPTH_LIST))
    depth_times_s = np.array([seconds for seconds, _ in depths])
    found = []
    for seconds, picture in pictures:
        nearest = int(np.argmin(np.abs(depth_times_s - seconds)))
        if abs(depth_times_s[nearest] - seconds) < MOST_APART_S:
            depth = depths[nearest][1]
            found.append(DepthPicture(picture, depth.parent, depth.stem, levels_per_metre))
    if not found:
        raise BadInputError(
            f"{folder}: no picture of {PICTURE_LIST} has depth in {DEPTH_LIST} within {MOST_APART_S * 1e3:.0f} ms; "
            "record both by one clock"
        )
    return found


def _stamped(folder: Path, path: Path) -> list[tuple[float, Path]]:
    """The lines of a list: seconds and file. Lines that begin with # are comments."""
    found = []
    for number, line in read_lines(path):
        if line.startswith("#"):
            continue
        seconds, *name = line.split(maxsplit=1)
        try:
            found.append((real(seconds), file_inside(folder, "".join(name), path, number)))
        except ValueError as error:
            raise BadInputError(f"{path}, line {number}: {error}; write `seconds file`") from error
    if not found:
        raise BadInputError(f"{path}: lists no frames; copy it again")
    return found
