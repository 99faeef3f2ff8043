"""The section on speed: distributions, speed against parity, and every figure."""

from html import escape

from mde_bench.report.html import save_button, table, thousandths
from mde_bench.report.latency_plot import latency_plot
from mde_bench.report.pareto_plot import pareto_plot
from mde_bench.report.table import DASH, modes_of, on_gpu_of, peaks_of
from mde_bench.result.result import Result, Row, Speed
from mde_bench.timing.modes import MODES
from mde_bench.timing.modes.figures import mode_file


def speed(result: Result) -> str:
    """The section's body."""
    measured = [(row, row.speed) for row in result.rows if row.speed]
    if not measured:
        return "<p>No candidate was measured.</p>"
    num_samples = min(speed.end_to_end.num_samples for _, speed in measured)
    return (
        f'<p class="soft">Frame in, depth out, as the user calls it; at least {num_samples} calls per candidate, all '
        "candidates in turn. Intervals are 95 %, by bootstrap over the rounds.</p>"
        f'<div class="plots"><figure>{latency_plot(measured)}<figcaption>Line: median; bar: its interval; dots: p90 '
        f"and p99. {save_button('svg', 'latency', 'Save SVG')}</figcaption></figure>{_pareto(result)}</div>"
        f"{_latencies(result, measured)}<h3>Cost of a frame</h3>"
        '<p class="soft">Backend: inside the backend\'s own call; host: the rest. CPU: processor time of all threads. '
        "Preempted: calls that the system interrupted. Of peak: multiply-adds per second over the processor's peak; "
        "of memory: bytes per second over its memory's peak, above 100 % where caches help. "
        f"{escape('; '.join(peaks_of(result)))}.</p>{_costs(measured)}"
        f"{_lines('On the GPU', on_gpu_of(result))}{_lines('Other ways to run', modes_of(result))}"
        f"{_modes(result)}"
    )


def _modes(result: Result) -> str:
    """A table for each mode that some candidate was measured in."""
    tables = []
    for name in MODES:
        rows = [
            (escape(row.name), *map(_figure, figures))
            for row in result.rows
            if row.modes
            for figures in row.modes.rows(name)
        ]
        if rows:
            tables.append(table(name, ("candidate", *mode_file(name).HEADINGS), rows))
    return "".join(tables)


def _figure(value: float | None) -> str:
    if value is None:
        return DASH
    return str(value) if isinstance(value, int) else f"{value:.4g}"


def _lines(title: str, said: list[str]) -> str:
    lines = "".join(f"<li>{escape(line)}</li>" for line in said)
    return f"<h3>{title}</h3><ul>{lines}</ul>" if lines else ""


def _latencies(result: Result, measured: list[tuple[Row, Speed]]) -> str:
    headings = ("candidate", "p50 ms", "interval", f"time over {result.rows[0].name}", "p90", "p95", "p99", "max")
    rows = []
    for row, speed in measured:
        times, ratio = speed.end_to_end, speed.ratio
        rows.append(
            (
                escape(row.name),
                thousandths(times.p50_s),
                f"{thousandths(times.p50_interval_s.low)} to {thousandths(times.p50_interval_s.high)}",
                f"{ratio.value:.3f} ({ratio.interval.low:.3f} to {ratio.interval.high:.3f})" if ratio else DASH,
                *map(thousandths, (times.p90_s, times.p95_s, times.p99_s, times.max_s)),
                *map(thousandths, (times.mean_s, times.std_s, times.min_s)),
            )
        )
    return table("speed-table", (*headings, "mean", "σ", "min"), rows)


def _costs(measured: list[tuple[Row, Speed]]) -> str:
    headings = ("candidate", "backend p50 ms", "host p50 ms", "CPU p50 ms", "preempted", "peak memory MiB")
    rows = [
        (
            escape(row.name),
            *map(thousandths, (speed.backend.p50_s, speed.host.p50_s, speed.cpu_s)),
            DASH if speed.preempted_share is None else f"{speed.preempted_share:.0%}",
            DASH if speed.peak_memory_bytes is None else f"{speed.peak_memory_bytes / 2**20:.0f}",
            f"{row.physics.work.num_macs / 1e9:.3g}" if row.physics else DASH,
            f"{row.physics.share_of_peak:.0%}" if row.physics else DASH,
            f"{row.physics.share_of_memory:.0%}" if row.physics and row.physics.share_of_memory is not None else DASH,
            row.physics.near if row.physics else DASH,
        )
        for row, speed in measured
    ]
    return table("costs", (*headings, "G multiply-adds", "of peak", "of memory", "near the bound of"), rows)


def _pareto(result: Result) -> str:
    points = [(row, row.speed, row.parity) for row in result.rows if row.speed and row.parity]
    if not points:
        return ""
    from_network = result.judged.contract.from_network
    drawn = pareto_plot(points, result.rows[0].speed, from_network.span_m)
    return (
        f"<figure>{drawn}<figcaption>Left is faster, lower is more faithful; the line joins candidates that no other "
        "beats in both. Dashed: the limit of FP32 and FP16, and the reference's time. "
        f"{save_button('svg', 'pareto', 'Save SVG')}</figcaption></figure>"
    )
