"""Advice about a data set: a unit that looks wrong, and the command that trains on it."""

import math
from collections.abc import Iterator
from pathlib import Path

from mde_train.data.check import DataReport
from mde_train.data.layouts import guessed
from mde_train.data.stats import SEED_PROTOCOLS
from mde_train.layout_table import LAYOUTS

NEAREST_M, FARTHEST_M = 0.03, 300.0  # 99 % of a set's depth below the first or beyond the second: another unit


def advice(root: Path, report: DataReport) -> Iterator[str]:
    """Lines for a person."""
    if report.layout == "guessed":
        declared = guessed.guess(root)
        assert declared is not None  # the report is of that guess
        yield (
            f"the layout is a guess: frames in {declared.frames}, depth in {declared.depth}, "
            f"{declared.metres_per_unit:g} metres a unit; --write-layout saves it as layout.json, where you can "
            "correct it"
        )
    training = report.splits[0]
    far_m = training.depth_p99_m
    if far_m and not NEAREST_M < far_m < FARTHEST_M:
        yield (
            f"99 % of the depth is below {far_m:.3g} m: is the unit right? metres_per_unit in layout.json sets it, "
            "0.001 for millimetres; mde-data check --write-layout writes that file if the layout is a guess"
        )
        return
    if not training.depth_p99_m:
        yield "no pixel has depth, so it cannot be trained on"
        return
    protocol = LAYOUTS[report.layout].protocol
    needs_mask = protocol in SEED_PROTOCOLS and any(split.valid_share < 1 for split in report.splits)
    if needs_mask:
        yield f"pixels without depth have no place in this layout's protocol, {protocol}; plain leaves them out"
    own_range = needs_mask or protocol == "plain"
    options = " --set protocol=plain" if needs_mask else ""
    options += f" --set model_options.far_m={range_end_m(far_m):g}" if own_range else ""
    yield f"to train on it: mde-train --recipe fast --data {root} --out runs/{root.name or 'own'}{options}"
    if own_range and training.depth_max_m > range_end_m(far_m):
        yield (
            f"99 % of the depth is below {far_m:.3g} m; the rest, up to {training.depth_max_m:.3g} m, is clipped to "
            f"{range_end_m(far_m):g} m, and a larger far_m keeps it"
        )
    if len(report.splits) == 1:
        yield f"first hold out frames for validation: mde-data split {root}"


def range_end_m(far_m: float) -> float:
    """A round number at or above a depth, at most a fifth more: 0.57 to 0.6, 3.7 to 4, 61 to 65."""
    step = 10.0 ** math.floor(math.log10(far_m)) / 2
    return round(math.ceil(far_m / step - 1e-9) * step, 9)
