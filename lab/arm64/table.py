"""The table: one row for each precision."""

from collections.abc import Sequence
from dataclasses import dataclass

HEADER = ("emulated CPU", "precision", "worst RMSE", "p99.9", "verdict", "largest difference to this machine's depth")


@dataclass(frozen=True)
class Row:
    """A precision on an emulated processor."""

    cpu: str
    precision: str
    executor: str
    rmse_worst_m: float
    p999_m: float
    breaches: tuple[str, ...]
    difference_m: float | None  # of one picture's depth, the largest of all pixels; None: refused, so none was made


def as_markdown(rows: Sequence[Row]) -> str:
    """The rows below their heading, each length in centimetres."""
    cells = [HEADER, ("---", "---", "---:", "---:", "---", "---:"), *map(_cells, rows)]
    lines = ["| " + " | ".join(row) + " |" for row in cells]
    ran_on = "; ".join(dict.fromkeys(row.executor for row in rows))
    return "\n".join([f"**Numerics, not speed.** {ran_on}", "", *lines])


def _cells(row: Row) -> tuple[str, ...]:
    verdict = "; ".join(row.breaches) or "verified"
    difference = "none made" if row.difference_m is None else _cm(row.difference_m)
    return row.cpu, row.precision, _cm(row.rmse_worst_m), _cm(row.p999_m), verdict.replace("|", "\\|"), difference


def _cm(length_m: float) -> str:
    return f"{length_m * 100:.4f} cm" if length_m < 1e-3 else f"{length_m * 100:.2f} cm"
