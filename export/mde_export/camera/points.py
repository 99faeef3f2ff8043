"""A source with the scale and shift that were asked for, or that measured distances ask for."""

import csv
import functools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TextIO

import numpy as np
import numpy.typing as npt

from mde_export.camera.fit import Fit, Measured, fit
from mde_export.graph.canonical import to_bytes
from mde_export.graph.graft import graft_quantity
from mde_export.graph.stages import FRAME, QUANTITY, unseen_sides
from mde_export.judge.evidence import Frames
from mde_export.judge.execute import Executor
from mde_export.request.request import Request
from mde_export.sources import Source
from mde_export.steps import Step
from mde_runtime.contract import Contract
from mde_runtime.errors import BadInputError, UsageError
from mde_runtime.evenly_spaced import evenly_spaced
from mde_runtime.files import check_regular
from mde_runtime.picture_placement import frame_of, placement_of
from mde_runtime.sources.pictures import read_picture

COLUMNS = ("image", "x", "y", "metres")
NUM_FRAMES, POINTS_PER_FRAME = 64, 500  # of a data set: neighbours tell the same

# Frame, rows, columns, m. What a crop has cut off lies outside the frame.
Points = tuple[Frames, npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]


def calibrated(source: Source, request: Request, step: Step) -> tuple[Source, Fit | None]:
    """The source with its contract's scale and shift set; the fit, where they were fitted."""
    if request.measured is None:
        return replace(source, contract=request.calibrated(source.contract)), None
    points = points_of(request.measured, request, source.contract)
    source = replace(source, network=functools.cache(source.network))
    with step("scale and shift: network on the measured frames"):
        graph = Executor(to_bytes(graft_quantity(source.network(), source.contract)), literal=False)
        measured = _measured(graph, points, source.contract)
        found = fit(measured, source.contract.from_network)
    from_network = replace(source.contract.from_network, scale=found.scale, shift=found.shift)
    return replace(source, contract=replace(source.contract, from_network=from_network)), found


def _measured(graph: Executor, frames: Iterator[Points], contract: Contract) -> Measured:
    """The network's quantity at the points, but for those that it does not see: there its border value only goes on."""
    (above, below), (left, right) = unseen_sides(contract)
    quantities, metres, groups, num_unseen = [], [], [], 0
    for group, (frame, rows, columns, distances_m) in enumerate(frames):
        is_seen = (above <= rows) & (rows < contract.source.height_px - below)
        is_seen &= (left <= columns) & (columns < contract.source.width_px - right)
        quantity = graph.run({FRAME: frame})[QUANTITY][0]
        quantities.append(quantity[rows[is_seen], columns[is_seen]].astype(np.float64))
        metres.append(distances_m[is_seen])
        groups.append(np.full(is_seen.sum(), group))
        num_unseen += int((~is_seen).sum())
    return Measured(np.concatenate(quantities), np.concatenate(metres), np.concatenate(groups), num_unseen)


def points_of(measured: Path, request: Request, contract: Contract) -> Iterator[Points]:
    """The measured points, picture by picture as they are read. Raises UsageError where scale or shift is given."""
    if (request.scale, request.shift) != (None, None):
        raise UsageError("--measured fits scale and shift; leave --scale and --shift out")
    return _of_data_set(measured, contract) if measured.is_dir() else _of_csv(measured, contract)


def _of_csv(path: Path, contract: Contract) -> Iterator[Points]:
    """image: a path from the file's folder; x, y: px from the picture's upper left; metres: as the contract's depth."""
    by_image: dict[str, list[tuple[float, float, float]]] = {}
    try:
        check_regular(path)
        with path.open(newline="", encoding="utf-8-sig") as file:  # Excel begins its UTF-8 with a byte order mark
            for image, point in _rows(file, path):
                by_image.setdefault(image, []).append(point)
    except OSError as error:
        raise BadInputError(f"{path}: cannot be read ({error.strerror}); give a CSV or a data set's folder") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadInputError(f"{path}: not a CSV in UTF-8 ({error}); save it again as one") from error
    if not by_image:
        raise BadInputError(f"{path}: holds no measured point; give a line {','.join(COLUMNS)} for each")
    for image, points in by_image.items():
        yield _on_frame(path.parent / image, np.array(points), contract)


def _rows(file: TextIO, path: Path) -> Iterator[tuple[str, tuple[float, float, float]]]:
    reader = csv.DictReader(file)
    if tuple(reader.fieldnames or ()) != COLUMNS:
        raise BadInputError(
            f"{path}: its columns are {reader.fieldnames}; its first line has to be {','.join(COLUMNS)}"
        )
    for row in reader:
        try:
            x, y, metres = (float(row[name]) for name in COLUMNS[1:])
        except (TypeError, ValueError) as error:
            raise BadInputError(
                f"{path}, line {reader.line_num}: {error}; write {','.join(COLUMNS)} as numbers"
            ) from error
        if not np.isfinite((x, y, metres)).all():
            raise BadInputError(
                f"{path}, line {reader.line_num}: {x:g}, {y:g}, {metres:g} are not all finite numbers; correct it"
            )
        yield row["image"], (x, y, metres)


def _on_frame(image: Path, points: npt.NDArray[np.float64], contract: Contract) -> Points:
    picture = read_picture(image)
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
    return frame_of(picture, contract)[None], places[1], places[0], metres


def _of_data_set(folder: Path, contract: Contract) -> Iterator[Points]:
    from mde_train.data import open_split, splits_of

    samples = open_split(folder, splits_of(folder)[-1])
    from_network, source = contract.from_network, contract.source
    chance = np.random.default_rng(0)  # which pixels of a frame: any will do, but always the same
    for index in evenly_spaced(len(samples), NUM_FRAMES):
        sample = samples[index]
        if sample.depth_m.shape != (source.height_px, source.width_px):
            raise BadInputError(
                f"{folder}: frame {sample.name} has {sample.depth_m.shape} px, the contract's frames have "
                f"({source.height_px}, {source.width_px}); make a bundle for them first with --source-size"
            )
        in_range = sample.valid & (sample.depth_m > from_network.near_m) & (sample.depth_m < from_network.far_m)
        rows, columns = np.nonzero(in_range)
        chosen = chance.permutation(len(rows))[:POINTS_PER_FRAME]
        frame = frame_of(sample.frame, contract)[None]
        yield frame, rows[chosen], columns[chosen], sample.depth_m[rows[chosen], columns[chosen]].astype(np.float64)
