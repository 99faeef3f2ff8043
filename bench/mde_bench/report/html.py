"""Pieces of HTML that the sections share."""

from collections.abc import Iterable
from html import escape


def section(title: str, name: str, body: str) -> str:
    """A section of the page under its heading."""
    return f'<section id="{name}"><h2>{title}</h2>{body}</section>'


def table(name: str, headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table whose cells are HTML already."""
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return (
        f'<div class="wide"><table id="{name}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
        f"{save_button('csv', name, 'Save CSV')}"
    )


def facts_list(facts: dict[str, str]) -> str:
    """Names with what is known under them."""
    return f"<dl>{''.join(f'<dt>{escape(name)}</dt><dd>{escape(value)}</dd>' for name, value in facts.items())}</dl>"


def save_button(kind: str, of: str, label: str) -> str:
    """A button that saves the element `of` as json, csv or svg."""
    return f'<button data-kind="{kind}" data-of="{of}">{label}</button>'


def thousandths(seconds: float) -> str:
    """Seconds as milliseconds, or metres as millimetres: four digits."""
    return f"{seconds * 1e3:.4g}"


def signed(value: float) -> str:
    """A value with its sign and two decimals; one that rounds to 0 is +0.00, never -0.00."""
    return f"{round(value, 2) + 0.0:+.2f}"
