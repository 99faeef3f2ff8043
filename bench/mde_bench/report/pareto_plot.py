"""Speed against parity: who is faster for the same faithfulness, and who is neither."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from mde_bench.report.svg import (
    WIDTH,
    Axis,
    Box,
    Mark,
    axis_over,
    line,
    marks,
    plot,
    text,
    text_box,
    x_axis,
    y_axis,
)
from mde_bench.result.result import Row, Speed
from mde_runtime.parity import TOLERANCE_SHARE, Parity

TOP, BOTTOM, LEFT, RIGHT = 54, 254, 54, WIDTH - 14
Point = tuple[Row, Speed, Parity]
Item = TypeVar("Item")


def pareto_plot(points: list[Point], reference: Speed | None, range_m: float) -> str:
    """Median latency (across) and RMSE to the reference (up, mm, logarithmic). Lower left is better."""
    tolerance_mm = TOLERANCE_SHARE * range_m * 1e3
    times = [speed.end_to_end.p50_s * 1e3 for _, speed, _ in points]
    if reference:
        times.append(reference.end_to_end.p50_s * 1e3)
    across = axis_over(times, LEFT, RIGHT)
    errors = [_error_mm(parity) for _, _, parity in points]
    up = axis_over([*errors, tolerance_mm], BOTTOM, TOP, is_log=True)
    limit, limit_at = f"limit, {tolerance_mm:.3g} mm", (RIGHT, up.at(tolerance_mm) - 5)
    parts = [
        x_axis(across, TOP, BOTTOM, "end to end, median ms per frame" + (" (logarithmic)" if across.is_log else "")),
        y_axis(up, LEFT, RIGHT, "RMSE to the reference, mm (logarithmic)"),
        line(LEFT, up.at(tolerance_mm), RIGHT, up.at(tolerance_mm), "limit"),
        text(*limit_at, limit, "end", "soft"),
    ]
    if reference:
        x = across.at(reference.end_to_end.p50_s * 1e3)
        is_left = x < (LEFT + RIGHT) / 2
        said = text(x + 5 if is_left else x - 5, TOP - 18, "the reference", "start" if is_left else "end", "soft")
        parts += [line(x, TOP - 28, x, BOTTOM, "limit"), said]
    parts += [_front(points, across, up), *_marks(points, across, up, text_box(*limit_at, limit, "end"))]
    return plot("pareto", BOTTOM + 40, "Speed against parity", "".join(parts))


def pareto_front(items: Iterable[Item], costs: Callable[[Item], tuple[float, float]]) -> list[Item]:
    """The items that no other beats in both costs, by the first cost."""
    front: list[Item] = []
    for item in sorted(items, key=costs):
        if not front or costs(item)[1] < costs(front[-1])[1]:
            front.append(item)
    return front


def _front(points: list[Point], across: Axis, up: Axis) -> str:
    steps = [
        f"{across.at(speed.end_to_end.p50_s * 1e3):.1f},{up.at(_error_mm(parity)):.1f}"
        for _, speed, parity in pareto_front(points, lambda it: (it[1].end_to_end.p50_s, it[2].rmse_m))
    ]
    return f'<polyline points="{" ".join(steps)}" class="front"/>'


def _marks(points: list[Point], across: Axis, up: Axis, limit: Box) -> list[str]:
    """Names stay clear of the limit's label, and inside the axes, whose numbers and titles are outside."""
    margins = ((0, 0, WIDTH, TOP - 8), (0, BOTTOM, WIDTH, BOTTOM + 40), (0, 0, LEFT, BOTTOM))
    dots = [(across.at(speed.end_to_end.p50_s * 1e3), up.at(_error_mm(parity))) for _, speed, parity in points]
    named = [Mark(x, y, row.name) for (x, y), (row, _, _) in zip(dots, points, strict=True)]
    return marks(named, (limit, *margins))


def _error_mm(parity: Parity) -> float:
    return max(parity.rmse_m * 1e3, 1e-3)  # equal depth has no place on a logarithmic axis
