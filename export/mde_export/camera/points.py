"""A source with the scale and shift that were asked for, or that measured distances ask for."""

import functools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from mde_export.camera.fit import Fit, Measured, fit
from mde_export.graph.canonical import to_bytes
from mde_export.graph.graft import graft_quantity
from mde_export.graph.stages import FRAME, QUANTITY, unseen_sides
from mde_export.judge.execute import Executor
from mde_export.request.request import Request
from mde_export.sources import Source
from mde_export.steps import Step
from mde_runtime.camera.depth_folders import NUM_FRAMES
from mde_runtime.camera.measured_frames import POINTS_PER_FRAME, MeasuredFrame, of_tape, read_points
from mde_runtime.contract import Contract
from mde_runtime.errors import BadInputError, UsageError
from mde_runtime.evenly_spaced import evenly_spaced
from mde_runtime.picture_placement import frame_of


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


def _measured(graph: Executor, frames: Iterator[MeasuredFrame], contract: Contract) -> Measured:
    """The network's quantity at the points, but for those that it does not see: there its border value only goes on."""
    (above, below), (left, right) = unseen_sides(contract)
    quantities, metres, groups, num_unseen = [], [], [], 0
    for group, shot in enumerate(frames):
        rows, columns = shot.rows, shot.columns
        is_seen = (above <= rows) & (rows < contract.source.height_px - below)
        is_seen &= (left <= columns) & (columns < contract.source.width_px - right)
        quantity = graph.run({FRAME: shot.frame[None]})[QUANTITY][0]
        quantities.append(quantity[rows[is_seen], columns[is_seen]].astype(np.float64))
        metres.append(shot.metres[is_seen])
        groups.append(np.full(is_seen.sum(), group))
        num_unseen += int((~is_seen).sum())
    return Measured(np.concatenate(quantities), np.concatenate(metres), np.concatenate(groups), num_unseen)


def points_of(measured: Path, request: Request, contract: Contract) -> Iterator[MeasuredFrame]:
    """The measured points, picture by picture as they are read. Raises UsageError where scale or shift is given."""
    if (request.scale, request.shift) != (None, None):
        raise UsageError("--measured fits scale and shift; leave --scale and --shift out")
    if measured.is_dir():
        return _of_data_set(measured, contract)
    return of_tape(read_points(measured), measured.parent, contract)


def _of_data_set(folder: Path, contract: Contract) -> Iterator[MeasuredFrame]:
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
        rows, columns = rows[chosen], columns[chosen]
        distances_m = sample.depth_m[rows, columns].astype(np.float64)
        yield MeasuredFrame(frame_of(sample.frame, contract), rows, columns, distances_m)
