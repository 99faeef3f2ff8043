"""How fast: distributions, speed against parity, and every figure."""

from html import escape

from mde_bench.report.html import save_button, table, thousandths
from mde_bench.report.latency_plot import latency_plot
from mde_bench.report.pareto_plot import pareto_plot
from mde_bench.result import Result


def speed(result: Result) -> str:
    """The section's body."""
    measured = [(row, row.speed) for row in result.rows if row.speed]
    headings = (
        "candidate",
        "p50 ms",
        "interval",
        f"time over {result.rows[0].name if result.rows else ''}",
        "p90",
        "p95",
        "p99",
        "max",
        "mean",
        "σ",
        "min",
        "backend p50",
        "host p50",
        "CPU p50",
        "preempted",
        "MiB",
    )
    rows = []
    for row, speed in measured:
        times, mib = speed.end_to_end, speed.peak_memory_bytes / 2**20
        interval = f"{thousandths(times.p50_interval_s.low)} to {thousandths(times.p50_interval_s.high)}"
        ratio = speed.ratio
        share = (
            f"{ratio.value:.3f} <small>{ratio.interval.low:.3f} to {ratio.interval.high:.3f}</small>" if ratio else "1"
        )
        seconds = (times.p90_s, times.p95_s, times.p99_s, times.max_s, times.mean_s, times.std_s, times.min_s)
        rows.append(
            (
                escape(row.name),
                thousandths(times.p50_s),
                interval,
                *map(thousandths, seconds),
                thousandths(speed.backend.p50_s),
                thousandths(speed.host.p50_s),
                thousandths(speed.cpu_s),
                f"{speed.preempted_share:.0%}",
                f"{mib:.0f}",
                share,
            )
        )
    if not measured:
        return "<p>No candidate was measured.</p>"
    num_samples = min(speed.end_to_end.num_samples for _, speed in measured)
    return (
        f'<p class="soft">Frame in, depth out, as a user calls it; at least {num_samples} calls a candidate, all '
        "candidates in turns. Intervals are 95 %, by bootstrap over the rounds. Backend: inside the backend's own "
        "call; host: the rest; CPU: processor time of all threads; preempted: calls that the system interrupted.</p>"
        f'<div class="plots"><figure>{latency_plot(measured)}<figcaption>Line: median; bar: its interval; dots: p90 '
        f"and p99. {save_button('svg', 'latency', 'Save SVG')}</figcaption></figure>{_pareto(result)}</div>"
        f"{table('speed-table', headings, rows)}"
    )


def _pareto(result: Result) -> str:
    points = [(row, row.speed, row.parity) for row in result.rows if row.speed and row.parity]
    if not points:
        return ""
    wanted = result.judged.contract.from_network
    drawn = pareto_plot(points, result.rows[0].speed, wanted.far_m - wanted.near_m)
    return (
        f"<figure>{drawn}<figcaption>Left is faster, low is more faithful; the line joins those that no other beats in "
        f"both. {save_button('svg', 'pareto', 'Save SVG')}</figcaption></figure>"
    )
