"""Plain text tables for stdout: the same on a terminal, in a pipe and in a log."""

from collections.abc import Sequence

from mde_runtime.errors import one_line


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell, two spaces apart; the last one is as long as it is."""
    header, *rows = [tuple(map(one_line, row)) for row in (header, *rows)]
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header) - 1)]
    lines = (
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]])
        for row in (header, *rows)
    )
    return "\n".join(line.rstrip() for line in lines)
