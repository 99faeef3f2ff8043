"""The rows of `lab.public_networks` as a table in Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]  # Any: a line of JSON
HEADER = ("network", "frames", "network's input", "RMSE to theirs", "of the range", "of its std", "certificate",
          "export", "memory")  # fmt: skip


def as_markdown(rows: Sequence[Row]) -> str:
    """A row a network and size; what was not made says why."""
    lines = [" | ".join(HEADER), " | ".join("---" for _ in HEADER), *(" | ".join(_cells(row)) for row in rows)]
    return "\n".join(f"| {line} |" for line in lines)


def _cells(row: Row) -> list[str]:
    frames = f"{row['height_px']}x{row['width_px']}"
    if row.get("why"):
        return [row["network"], frames, "", "not made", row["why"], "", "", "", ""]
    broken = "" if row["keeps_the_law"] else " **too far**"
    return [
        row["network"],
        frames,
        f"{row['network_height_px']}x{row['network_width_px']}",
        f"{row['rmse_m'] * 1000:.3g} mm{broken}",
        f"{row['rmse_m'] / row['span_m']:.2g}",
        f"{row['rmse_m'] / row['std_m']:.2g}",
        f"{row['certificate_m'] * 1000:.3g} mm",
        f"{row['export_s']:.0f} s",
        f"{row['peak_gb']:.1f} GB",
    ]
