"""A result as a table in the terminal, and the lines around it."""

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from mde_bench.result import Result, Row

DASH = "–"


def table_of(result: Result) -> Group:
    """One row a candidate: how fast, how faithful, how right."""
    protocol = next((row.accuracy.protocol for row in result.rows if row.accuracy), "")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("candidate")
    for heading in ("p50 ms", "p90", "p99", "mean", "min", "backend p50", "host p50", "× ref."):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("RMSE to ref. mm", "max mm", "SSIM", "δ1", f"RMSE m ({protocol})", f"SSIM ({protocol})"):
        table.add_column(heading, justify="right")
    for row in result.rows:
        table.add_row(row.name, *_cells(row))
    return Group(table, *(Text(line) for line in notes(result)))


def notes(result: Result) -> list[str]:
    """What goes with the figures: conditions, and everything that did not go as it should."""
    judged, under = result.judged, result.conditions
    lines = [
        f"{judged.num_frames} of {judged.num_frames_in_split} frames of {judged.split!r}; "
        f"parity against {judged.reference}",
        f"{under.machine.cpu}, {under.num_threads} threads, load {_number(under.before.load_average, '.1f')}; "
        f"times end to end unless they say otherwise",
    ]
    lines += [f"{row.name} FAILED: {row.failure}" for row in result.rows if row.failure]
    lines += [f"{row.name} PARITY: {breach}" for row in result.rows for breach in row.parity_breaches]
    lines += [f"not on this machine: {', '.join(names)}: {why}" for why, names in absent_by_reason(result).items()]
    lines += [f"NOT VALID: {reason}" for reason in result.invalid_because]
    return lines


def absent_by_reason(result: Result) -> dict[str, list[str]]:
    """Why candidates cannot run on this machine, each reason with all that it keeps away."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in result.absent.items():
        by_reason.setdefault(reason, []).append(name)
    return by_reason


def _cells(row: Row) -> list[str]:
    return [*_speed_cells(row), *_parity_cells(row), *_accuracy_cells(row)]


def _speed_cells(row: Row) -> list[str]:
    if row.speed is None:
        return ["failed" if row.failure else DASH, *[DASH] * 7]
    speed, times = row.speed, row.speed.end_to_end
    seconds = (times.p50_s, times.p90_s, times.p99_s, times.mean_s, times.min_s, speed.backend.p50_s)
    share = f"{speed.ratio.value:.2f}" if speed.ratio else "1"
    return [*(f"{value * 1e3:.4g}" for value in seconds), f"{speed.host.p50_s * 1e3:.3g}", share]


def _parity_cells(row: Row) -> list[str]:
    if row.parity is None:
        return [DASH] * 4
    parity = row.parity
    return [
        f"{parity.rmse_m * 1e3:.3f}",
        f"{parity.max_abs_m * 1e3:.2f}",
        f"{parity.ssim_worst:.6f}",
        f"{parity.delta1:.5f}",
    ]


def _accuracy_cells(row: Row) -> list[str]:
    if row.accuracy is None:
        return [DASH] * 2
    return [_number(row.accuracy.values.get(name), ".4f") for name in ("rmse_m", "ssim")]


def _number(value: float | None, form: str) -> str:
    return DASH if value is None else format(value, form)
