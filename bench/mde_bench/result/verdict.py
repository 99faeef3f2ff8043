"""The verdict on a result: whether it holds, and the candidate that one would ship."""

from mde_bench.result.result import Result, Row
from mde_bench.timing.candidates import TORCH


def headline(result: Result) -> Row | None:
    """The fastest candidate that one can ship: it ran, it keeps its limits, and it is not PyTorch itself."""
    fit = [row for row in result.rows if row.speed and is_sound(row) and row.backend != TORCH]
    return min(fit, key=lambda row: row.speed.end_to_end.p50_s if row.speed else float("inf"), default=None)


def is_sound(row: Row) -> bool:
    """Whether a candidate ran to the end and gave the reference's depth."""
    return row.failure is None and not row.parity_breaches


def problems(result: Result) -> list[str]:
    """What keeps a result from holding, one line each; empty when it holds."""
    found = []
    if result.is_complete and headline(result) is None:
        found.append("no candidate ran to the end with the reference's depth")
    if result.invalid_because:
        found.append(f"the measurement is not valid: {'; '.join(result.invalid_because)}")
    if not result.is_complete:
        found.append("the run was ended half-way; these are the rows that it had")
    return found


def exceptions(result: Result) -> list[str]:
    """The candidates that are not to be used on this machine, and why, one line each."""
    found = [f"{row.name} failed: {row.failure}" for row in result.rows if row.failure]
    return found + [
        f"{row.name} is not the reference's depth: {'; '.join(row.parity_breaches)}"
        for row in result.rows
        if row.parity_breaches
    ]


def in_words(result: Result) -> str:
    """The verdict in one sentence: what to ship, how fast, how faithful and how right it is."""
    best = headline(result)
    if best is None or best.speed is None:
        return "No candidate can be shipped."
    said = f"{best.name}: {best.speed.end_to_end.p50_s * 1e3:.3g} ms a frame"
    if best.speed.ratio:
        said += f", {1 / best.speed.ratio.value:.2f} times as fast as {result.rows[0].name}"
    if best.parity:
        said += f"; {best.parity.rmse_m * 1e3:.2g} mm RMSE from it"
    if best.accuracy and "rmse_m" in best.accuracy.values:
        said += f"; {best.accuracy.values['rmse_m']:.3f} m RMSE to the truth ({best.accuracy.protocol})"
    return said + "."
