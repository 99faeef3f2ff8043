"""Tables in Markdown whose cells may hold anything."""

from collections.abc import Iterable, Sequence


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]], num_left: int | None = None) -> str:
    """A table. num_left: so many columns are aligned to the left, the others to the right; None: all to the left."""
    num_left = len(headings) if num_left is None else num_left
    rule = ["---" if column < num_left else "---:" for column in range(len(headings))]
    return "\n".join((_row(headings), _row(rule), *map(_row, rows)))


def escaped(said: str) -> str:
    """Text that ends no cell and begins no tag."""
    return said.replace("|", "\\|").replace("<", "&lt;")


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(escaped, cells))} |"
