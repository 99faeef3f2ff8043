"""One picture of accuracy against latency: every precision of every model, the seed's marked."""

from dataclasses import dataclass
from pathlib import Path

from lab.gpu_check.train.jobs import SEED_MODEL
from lab.gpu_check.train.judging import FinishedJob, read_judged
from mde_bench.report.pareto_plot import pareto_front
from mde_bench.report.svg import WIDTH, Mark, axis_over, marks, plot, x_axis, y_axis
from mde_runtime import files

TOP, BOTTOM, LEFT, RIGHT = 34, 260, 44, WIDTH - 14
STYLE = (
    "<style>svg{background:#fff;font:11px system-ui,'DejaVu Sans',sans-serif}"
    ".ink{fill:#1b2330;paint-order:stroke;stroke:#fff;stroke-width:3px}.soft{fill:#5b6676}"
    ".grid{stroke:#dde1e7}.mark{fill:#1f5fbf}.seed{fill:#a3261c}.front{fill:none;stroke:#1f5fbf;opacity:.6}</style>"
)


@dataclass(frozen=True)
class Point:
    """A model in one precision, in the fastest way that this machine has for it."""

    model: str
    name: str
    latency_ms: float
    rmse_m: float


def write_picture(folder: Path) -> None:
    """Write FOLDER/pareto.svg of all that was judged and timed there; nothing without a point."""
    points = [point for path in sorted(folder.glob("*/judged.json")) for point in points_of(read_judged(path))]
    if points:
        files.write_text(folder / "pareto.svg", picture(points))


def points_of(judged: FinishedJob) -> list[Point]:
    """A point for every precision that was timed; a row's name ends with its precision."""
    points = []
    for precision, found in judged.accuracy.items():
        times = {name: ms for name, ms in judged.latency_ms.items() if name.endswith(precision)}
        if times:
            way = min(times, key=lambda name: times[name])
            points.append(Point(judged.model, f"{judged.job} {precision}", times[way], found.figures.values["rmse_m"]))
    return points


def picture(points: list[Point]) -> str:
    """Median latency across, RMSE to the truth up; lower left is better."""
    across = axis_over([point.latency_ms for point in points], LEFT, RIGHT)
    up = axis_over([point.rmse_m for point in points], BOTTOM, TOP, is_log=False)
    parts = [
        STYLE,
        x_axis(across, TOP, BOTTOM, "median ms per frame" + (" (logarithmic)" if across.is_log else "")),
        y_axis(up, LEFT, RIGHT, "RMSE to the truth, m"),
    ]
    front = pareto_front(points, lambda it: (it.latency_ms, it.rmse_m))
    corners = " ".join(f"{across.at(it.latency_ms):.1f},{up.at(it.rmse_m):.1f}" for it in front)
    parts.append(f'<polyline points="{corners}" class="front"/>')
    kinds = ["seed" if point.model == SEED_MODEL else "mark" for point in points]
    parts += marks(
        [
            Mark(across.at(point.latency_ms), up.at(point.rmse_m), point.name, kind)
            for point, kind in zip(points, kinds, strict=True)
        ]
    )
    return plot("pareto", BOTTOM + 40, "Accuracy against latency", "".join(parts))
