"""Frames with measured distances: a tape measure's CSV with its pictures, or a depth camera's folder."""

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
import numpy.typing as npt

from mde_runtime.camera.depth_folders import DepthPicture
from mde_runtime.contract import Contract, Intrinsics
from mde_runtime.errors import BadInputError, UsageError
from mde_runtime.files import check_regular
from mde_runtime.picture_placement import camera_at_picture_size, frame_of, placement_of
from mde_runtime.rays import ray_per_z
from mde_runtime.sources.pictures import read_picture

COLUMNS = ("image", "x", "y", "metres")
POINTS_PER_FRAME = 500  # of a depth camera: neighbouring pixels add nothing

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class MeasuredFrame:
    """A frame as the contract has it, and distances measured in it. What a crop has cut off lies outside the frame."""

    frame: npt.NDArray[np.uint8]  # (H, W, 3)
    rows: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int64]
    metres: Floats


def read_points(path: Path) -> dict[str, Floats]:
    """A tape measure's CSV: for each image its points (n, 3): x, y, px from the picture's upper left, and metres.

    Raises BadInputError that names the line at fault.
    """
    by_image: dict[str, list[tuple[float, float, float]]] = {}
    try:
        check_regular(path)
        with path.open(newline="", encoding="utf-8-sig") as file:  # Excel begins its UTF-8 with a byte order mark
            for image, point in _rows(file, path):
                by_image.setdefault(image, []).append(point)
    except OSError as error:
        raise BadInputError(f"{path}: cannot be read ({error.strerror}); pass a CSV or a data set's folder") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadInputError(f"{path}: not a CSV in UTF-8 ({error}); save it again as one") from error
    if not by_image:
        raise BadInputError(f"{path}: holds no measured point; give a line {','.join(COLUMNS)} for each")
    return {image: np.array(points) for image, points in by_image.items()}


def _rows(file: TextIO, path: Path) -> Iterator[tuple[str, tuple[float, float, float]]]:
    reader = csv.DictReader(file)
    if tuple(reader.fieldnames or ()) != COLUMNS:
        raise BadInputError(f"{path}: its columns are {reader.fieldnames}; its first line must be {','.join(COLUMNS)}")
    for row in reader:
        try:
            x, y, metres = (float(row[name]) for name in COLUMNS[1:])
        except (TypeError, ValueError) as error:
            raise BadInputError(
                f"{path}, line {reader.line_num}: {error}; write {','.join(COLUMNS)} as numbers"
            ) from error
        if not all(map(math.isfinite, (x, y, metres))):
            raise BadInputError(
                f"{path}, line {reader.line_num}: {x:g}, {y:g}, {metres:g} are not all finite numbers; fix this line"
            )
        yield row["image"], (x, y, metres)


def of_tape(points: Mapping[str, Floats], folder: Path, contract: Contract) -> Iterator[MeasuredFrame]:
    """The frames of a CSV's pictures, which lie in `folder`, picture by picture as they are read."""
    for image, measured in points.items():
        yield _on_frame(folder / image, read_picture(folder / image), measured, contract)


def of_depth_camera(
    pictures: Sequence[DepthPicture], contract: Contract, intrinsics: Intrinsics | None
) -> Iterator[MeasuredFrame]:
    """The frames of a depth camera, with up to 500 of the pixels that it measured in each.

    It measures along the optical axis. intrinsics: of the camera at the contract's source size, which turn that into
    distances along rays where the contract has those. Raises UsageError where it has them and no camera is known.
    """
    camera = intrinsics or contract.intrinsics
    if contract.from_network.distance == "ray" and camera is None:
        raise UsageError(
            "this bundle's depth is along each pixel's ray, and a depth camera's along the optical axis; pass the "
            "camera's --intrinsics, or measure along the rays with --points"
        )
    return _of_depth_camera(pictures, contract, camera)


def _of_depth_camera(
    pictures: Sequence[DepthPicture], contract: Contract, camera: Intrinsics | None
) -> Iterator[MeasuredFrame]:
    chance = np.random.default_rng(0)  # which pixels of a frame: any will do, but always the same
    for shot in pictures:
        picture, depth_m = read_picture(shot.picture), shot.depth_m
        if depth_m.shape != picture.shape[:2]:
            raise BadInputError(
                f"{shot.picture}: has {picture.shape[0]}x{picture.shape[1]} px, its depth "
                f"{depth_m.shape[0]}x{depth_m.shape[1]} px; align the depth with the picture first"
            )
        rows, columns = np.nonzero(np.isfinite(depth_m) & (depth_m > 0))
        chosen = chance.permutation(len(rows))[:POINTS_PER_FRAME]
        rows, columns = rows[chosen], columns[chosen]
        metres = depth_m[rows, columns].astype(np.float64)
        if contract.from_network.distance == "ray" and camera is not None:
            metres *= ray_per_z(camera_at_picture_size(camera, contract, *picture.shape[1::-1]), columns, rows)
        points = np.stack([columns, rows, metres], axis=1)
        yield _on_frame(shot.picture, picture, points, contract)


def _on_frame(image: Path, picture: npt.NDArray[np.uint8], points: Floats, contract: Contract) -> MeasuredFrame:
    height, width, _ = picture.shape
    x, y, metres = points.T
    if ((x < 0) | (x >= width) | (y < 0) | (y >= height)).any():
        raise BadInputError(
            f"{image}: a measured point lies outside its {width}x{height} px; x counts columns, y rows, from 0"
        )
    placed = placement_of(contract, width, height)
    places = []
    for position, side, first, last, begin, end in (
        (x, width, *placed.picture_box[::2], *placed.frame_box[::2]),
        (y, height, *placed.picture_box[1::2], *placed.frame_box[1::2]),
    ):
        centre = np.minimum(position, side - 1) + 0.5
        places.append(np.floor(begin + (centre - first) * (end - begin) / (last - first)).astype(np.int64))
    return MeasuredFrame(frame_of(picture, contract), places[1], places[0], metres)
