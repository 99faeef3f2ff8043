"""Plain text tables and facts for stdout, within the terminal's width."""

import os
import shutil
import sys
import textwrap
from collections.abc import Sequence

from mde_runtime.errors import one_line

LEAST = 30  # columns that a sentence can be read in
INDENT = "    "


def table(header: Sequence[str], rows: Sequence[Sequence[str]], width: int | None = None) -> str:
    """Columns as wide as their widest cell, two spaces apart.

    Where a row is wider than `width`, its last cell is folded: in its column, or below the row where that is too
    narrow. width: by default the terminal's.
    """
    header, *rows = [tuple(map(one_line, row)) for row in (header, *rows)]
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header) - 1)]
    room = _room(width)
    lead = sum(size + 2 for size in widths)
    lines = []
    for *cells, last in (header, *rows):
        start = "".join(f"{cell:<{size}}  " for cell, size in zip(cells, widths, strict=True))
        if room is None or lead + max(len(row[-1]) for row in (header, *rows)) <= room:
            lines.append(start + last)
        elif room - lead >= LEAST:
            lines += _folded(last, start, " " * lead, room)
        else:
            lines.append(start)
            lines += _folded(last, INDENT, INDENT, room)
    return "\n".join(line.rstrip() for line in lines)


def fact(text: str, indent: int, width: int | None = None) -> str:
    """A line, folded with the given indent where it is wider than `width`, by default the terminal's."""
    room = _room(width)
    return text if room is None else "\n".join(_folded(one_line(text), "", " " * indent, room))


def _room(width: int | None) -> int | None:
    """None: as wide as it gets, since stdout is read by a program, or by a pager that scrolls (less -S)."""
    if width is None and (sys.stdout.isatty() or os.environ.get("COLUMNS")):
        return shutil.get_terminal_size().columns
    return width


def _folded(text: str, first: str, others: str, room: int) -> list[str]:
    """Words are never broken: commands and paths stay whole, to be copied."""
    return textwrap.wrap(
        text, room, initial_indent=first, subsequent_indent=others, break_long_words=False, break_on_hyphens=False
    ) or [first]
