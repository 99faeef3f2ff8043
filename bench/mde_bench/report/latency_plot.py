"""The plot of latencies: one distribution a candidate, its median with its interval, p90 and p99."""

import numpy as np
import numpy.typing as npt

from mde_bench.report.svg import WIDTH, Axis, axis_over, plot, text, x_axis
from mde_bench.result.result import Row, Speed

ROW_HEIGHT, BUMP_HEIGHT = 58, 26
LEFT, RIGHT = 10, WIDTH - 14
NUM_BINS = 90


def latency_plot(rows: list[tuple[Row, Speed]]) -> str:
    """The distributions of end-to-end latency, drawn to the slowest candidate's p99; calls beyond it are counted."""
    speeds = [speed for _, speed in rows]
    ends = [speed.end_to_end.min_s * 1e3 for speed in speeds] + [speed.end_to_end.p99_s * 1e3 for speed in speeds]
    axis = axis_over(ends, LEFT, RIGHT)
    bottom = ROW_HEIGHT * len(rows) + 8
    bodies = [_distribution(row, speed, axis, ROW_HEIGHT * (number + 1)) for number, (row, speed) in enumerate(rows)]
    title = "end to end, ms per frame" + (" (logarithmic)" if axis.is_log else "")
    body = x_axis(axis, 6, bottom, title) + "".join(bodies)
    return plot("latency", bottom + 40, "Latency of every candidate", body)


def _distribution(row: Row, speed: Speed, axis: Axis, base: float) -> str:
    times = speed.end_to_end
    p50, p90, p99 = (axis.at(value * 1e3) for value in (times.p50_s, times.p90_s, times.p99_s))
    low, high = (axis.at(value * 1e3) for value in (times.p50_interval_s.low, times.p50_interval_s.high))
    said = f"p50 {times.p50_s * 1e3:.4g} · p99 {times.p99_s * 1e3:.4g}"
    return "".join(
        (
            text(LEFT, base - BUMP_HEIGHT - 14, row.name),
            text(RIGHT, base - BUMP_HEIGHT - 14, said, "end", "soft"),
            f'<path d="{_bump(np.asarray(speed.samples.wall_ns) / 1e6, axis, base)}" class="bump"/>',
            f'<rect x="{low:.1f}" y="{base - 2}" width="{max(high - low, 1):.1f}" height="5" class="interval"/>',
            f'<line x1="{p50:.1f}" y1="{base - BUMP_HEIGHT - 4}" x2="{p50:.1f}" y2="{base + 4}" class="median"/>',
            *(f'<circle cx="{x:.1f}" cy="{base}" r="2.6" class="tail"/>' for x in (p90, p99)),
        )
    )


def _bump(wall_ms: npt.NDArray[np.float64], axis: Axis, base: float) -> str:
    """The outline of a smoothed histogram over the axis."""
    places = np.asarray([axis.at(value) for value in wall_ms])
    counts, edges = np.histogram(places, bins=NUM_BINS, range=(axis.start, axis.end))
    kernel = np.asarray([1, 3, 4, 3, 1]) / 12
    heights = np.convolve(counts, kernel, mode="same")
    heights = heights / heights.max() * BUMP_HEIGHT
    centres = (edges[:-1] + edges[1:]) / 2
    points = [
        f"L{x:.1f} {base - height:.1f}"
        for x, height in zip(centres, heights, strict=True)
        if height > BUMP_HEIGHT / 200
    ]
    inside = centres[heights > BUMP_HEIGHT / 200]
    return f"M{inside[0]:.1f} {base}{''.join(points)}L{inside[-1]:.1f} {base}Z"
