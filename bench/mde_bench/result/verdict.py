"""The verdict on a result: whether it holds, and the candidate that one would ship."""

from mde_bench.result.result import Result, Row
from mde_bench.timing.candidates import TORCH


def headline(result: Result) -> Row | None:
    """The fastest candidate that one can ship: it ran, it keeps its limits, and it is not PyTorch itself."""
    fit = [row for row in result.rows if row.speed and is_sound(result, row) and row.backend != TORCH]
    return min(fit, key=lambda row: row.speed.end_to_end.p50_s if row.speed else float("inf"), default=None)


def is_sound(result: Result, row: Row) -> bool:
    """Whether a candidate ran to the end and gave the reference's depth."""
    return row.failure is None and unfaithful_because(result, row) is None


def unfaithful_because(result: Result, row: Row) -> str | None:
    """Why a candidate is not known to give the reference's depth; None where it does, or is the reference.

    Where the reference failed, nothing was held against it, and that is no pass.
    """
    if row.parity is None and not _is_reference(result, row):
        return f"was not compared with its reference, {result.judged.reference}"
    return "; ".join(row.parity_breaches) or None


def _is_reference(result: Result, row: Row) -> bool:
    """Whether a row is the one that parity is held against: the first, and the PyTorch model if one was given."""
    return row.name == result.rows[0].name and (row.backend == TORCH or result.judged.checkpoint_sha256 is None)


def problems(result: Result) -> list[str]:
    """What keeps a result from holding, one line each; empty when it holds."""
    found = []
    if result.is_complete and headline(result) is None:
        found.append("no candidate finished with the reference's depth")
    if result.invalid_because:
        found.append(f"the times are not valid: {'; '.join(result.invalid_because)}; measure again on a quiet machine")
    if not result.is_complete:
        found.append("the run was interrupted; these are the rows so far")
    return found


def exceptions(result: Result) -> list[str]:
    """The candidates that are not to be used on this machine, and why, one line each."""
    found = [f"{row.name} failed: {row.failure}" for row in result.rows if row.failure]
    return found + [
        f"{row.name} differs from the reference: {'; '.join(row.parity_breaches)}"
        for row in result.rows
        if row.parity_breaches
    ]


def useless_int8(result: Result) -> list[str]:
    """The backends on which INT8, which costs accuracy, is not faster than what does not, one line each.

    Faster is what its whole interval of the median says.
    """
    timed = [(row, row.speed.end_to_end) for row in result.rows if row.speed and is_sound(result, row)]
    found = []
    for row, latency in timed:
        others = [pair for pair in timed if pair[0].backend == row.backend and pair[0].precision != "int8"]
        if row.precision != "int8" or not others:
            continue
        other, best = min(others, key=lambda pair: pair[1].p50_s)
        if latency.p50_interval_s.high >= best.p50_interval_s.low:
            found.append(
                f"{row.name} is not faster than {other.name} here: {latency.p50_s * 1e3:.4g} ms per frame, "
                f"{best.p50_s * 1e3:.4g} ms without its loss of accuracy"
            )
    return found


def word(result: Result) -> str:
    """The verdict in a word or two; a run whose times are not valid has not failed, it has to be run again."""
    if result.is_complete and headline(result) and result.invalid_because:
        return "Not valid"
    return "Does not hold" if problems(result) else "Holds"


def in_words(result: Result) -> str:
    """The verdict in one sentence: what to ship, how fast, how faithful and how right it is.

    Times that are not valid are left out.
    """
    best = headline(result)
    if best is None or best.speed is None:
        return "No candidate can be shipped."
    said = []
    if not result.invalid_because:
        said.append(f"{best.speed.end_to_end.p50_s * 1e3:.3g} ms per frame")
        if best.speed.ratio:
            said[0] += f", {1 / best.speed.ratio.value:.2f} times as fast as {result.rows[0].name}"
    if best.parity:
        said.append(f"{best.parity.rmse_m * 1e3:.2g} mm RMSE from {result.rows[0].name}")
    if best.accuracy and "rmse_m" in best.accuracy.values:
        said.append(f"{best.accuracy.values['rmse_m']:.3f} m RMSE to ground truth ({best.accuracy.protocol})")
    if result.invalid_because:
        said.append("no time is stated, because the times of this run are not valid")
    return f"{best.name}: {'; '.join(said)}."
