"""The section on parity and accuracy, side by side as a table."""

from html import escape

from mde_bench.report.html import signed, table, thousandths
from mde_bench.report.table import DASH
from mde_bench.result.result import Result, Row


def fidelity(result: Result) -> str:
    """The section's body."""
    names = tuple(dict.fromkeys(name for row in result.rows if row.accuracy for name in row.accuracy.values))
    protocol = next((row.accuracy.protocol for row in result.rows if row.accuracy), "")
    headings = (
        "candidate",
        "RMSE mm",
        "worst frame mm (its name)",
        "p99.9 mm",
        "max mm",
        "bias mm",
        "SSIM, worst frame",
        "R²",
        "AbsRel",
        "δ1",
        "NaN, Inf",
        *(f"{name} ({protocol})" for name in names),
    )
    rows = [(escape(row.name), *_parity_cells(row), *_accuracy_cells(row, names)) for row in result.rows]
    judged = result.judged
    return (
        f'<p class="soft">Parity is against {escape(judged.reference)}, over every pixel the network sees of '
        f"{judged.num_frames} frames. Accuracy is against ground truth under the protocol <b>{escape(protocol)}</b>, "
        "over the same frames; do not compare it with figures of another protocol or of other frames.</p>"
        f"{table('parity-table', headings, rows)}"
        "<h3>Where the error against ground truth is</h3>"
        '<p class="soft">At frame size, over all valid pixels at once; each part shows its share of '
        f"them. Ground truth is clipped to the model's range.</p>{_anatomy(result)}"
    )


def _anatomy(result: Result) -> str:
    taken_apart = [(row.name, row.anatomy) for row in result.rows if row.anatomy]
    if not taken_apart:
        return "<p>No candidate gave depth.</p>"
    bins = taken_apart[0][1].bins
    headings = (
        "candidate, RMSE m (bias m)",
        "all",
        "AbsRel",
        "δ1",
        "max m",
        *(f"{part.near_m:g} to {part.far_m:g} m, {part.share:.0%}" for part in bins),
        f"at edges, {taken_apart[0][1].edge_share:.0%}",
        "elsewhere",
    )
    rows = [
        (
            escape(name),
            _with_bias(apart.rmse_m, apart.bias_m),
            *(f"{value:.4f}" for value in (apart.abs_rel, apart.delta1)),
            f"{apart.max_abs_m:.2f}",
            *(_with_bias(part.rmse_m, part.bias_m) for part in apart.bins),
            *(DASH if rmse_m is None else f"{rmse_m:.3f}" for rmse_m in (apart.edge_rmse_m, apart.elsewhere_rmse_m)),
        )
        for name, apart in taken_apart
    ]
    return table("anatomy", headings, rows)


def _with_bias(rmse_m: float | None, bias_m: float | None) -> str:
    """RMSE with the bias; a dash where no pixel was measured."""
    return DASH if rmse_m is None or bias_m is None else f"{rmse_m:.2f} ({signed(bias_m)})"


def _parity_cells(row: Row) -> tuple[str, ...]:
    if row.parity is None:
        return ("the reference",) + (DASH,) * 9 if not row.failure else (DASH,) * 10
    parity = row.parity
    return (
        thousandths(parity.rmse_m),
        f"{thousandths(parity.rmse_worst_m)} ({escape(row.frames[parity.worst_frame].name)})",
        *map(thousandths, (parity.p999_m, parity.max_abs_m, parity.bias_m)),
        f"{parity.ssim_worst:.6f}",
        *(DASH if figure is None else f"{figure:.6f}" for figure in (parity.r2, parity.abs_rel)),
        f"{parity.delta1:.5f}",
        str(parity.num_nonfinite),
    )


def _accuracy_cells(row: Row, names: tuple[str, ...]) -> tuple[str, ...]:
    values = row.accuracy.values if row.accuracy else {}
    return tuple(f"{values[name]:.4f}" if name in values else DASH for name in names)
