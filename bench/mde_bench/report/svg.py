"""Just enough SVG for the report's plots: an axis, marks and text. Colours are the page's variables.

Plots are drawn 460 units wide. Text is 11 units high on a desk and 15 on a phone and on paper, where a plot is drawn
smaller; labels have room for the larger size.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from mde_runtime.colours import ticks as round_ticks

WIDTH = 460
Box = tuple[float, float, float, float]  # left, top, right, bottom
TEXT_WIDTH, ASCENT, DESCENT = 8.3, 13, 4  # of a character of 15 units, on average: good enough to keep labels apart


@dataclass(frozen=True)
class Axis:
    """From values to places: low is at `start`, high at `end`."""

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    def at(self, value: float) -> float:
        """Where a value lies; one beyond the axis lies at its end."""
        inside = min(max(value, self.low), self.high)
        if self.is_log:
            share = math.log(inside / self.low) / math.log(self.high / self.low)
        else:
            share = (inside - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self, num_wanted: int = 5) -> list[float]:
        """Round values over the axis."""
        if self.is_log and len(ticks := _log_ticks(self.low, self.high, num_wanted)) > 1:
            return ticks
        return round_ticks(self.low, self.high, most=num_wanted + 1)


def axis_over(values: Sequence[float], start: float, end: float, *, is_log: bool | None = None) -> Axis:
    """An axis with room around the values; is_log None: logarithmic where they span more than a factor of 5."""
    low, high = min(values), max(values)
    if is_log is None:
        is_log = low > 0 and high / low > 5
    if is_log:
        room = (high / low) ** 0.06 * 1.05
        return Axis(low / room, high * room, start, end, is_log=True)
    room = max((high - low) * 0.08, abs(high) * 0.1) or 1.0  # a difference of a percent should look like one
    return Axis(max(low - room, 0.0) if low >= 0 else low - room, high + room, start, end)


def number(value: float) -> str:
    """A value as a tick says it: no trailing zeros, no exponent in the range that people read."""
    if value == 0 or 1e-3 <= abs(value) < 1e6:
        return f"{value:.6f}".rstrip("0").rstrip(".")
    return f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")


def text(x: float, y: float, content: str, anchor: str = "start", kind: str = "ink") -> str:
    """Text in one of the page's colours (ink, soft), anchored at its start, middle or end."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">{escape(content)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str = "grid") -> str:
    """A line of a kind that the style sheet knows (grid, axis, limit)."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def x_axis(axis: Axis, top: float, bottom: float, title: str) -> str:
    """Ticks with grid lines from top to bottom, their numbers and the title below."""
    parts = []
    for value in axis.ticks():
        x = axis.at(value)
        parts += [line(x, top, x, bottom), text(x, bottom + 14, number(value), "middle", "soft")]
    parts.append(text((axis.start + axis.end) / 2, bottom + 31, title, "middle", "soft"))
    return "".join(parts)


def y_axis(axis: Axis, left: float, right: float, title: str) -> str:
    """Ticks with grid lines from left to right, their numbers before them and the title above."""
    parts = []
    for value in axis.ticks():
        y = axis.at(value)
        parts += [line(left, y, right, y), text(left - 6, y + 4, number(value), "end", "soft")]
    parts.append(text(4, 14, title, "start", "soft"))
    return "".join(parts)


@dataclass(frozen=True)
class Mark:
    """A named dot."""

    x: float
    y: float
    name: str
    kind: str = "mark"  # of the dot, as the style sheet knows it


def text_box(x: float, y: float, content: str, anchor: str) -> Box:
    """The room that a text takes at the larger size."""
    width = len(content) * TEXT_WIDTH
    left = x - {"start": 0.0, "middle": 0.5, "end": 1.0}[anchor] * width
    return (left, y - ASCENT, left + width, y + DESCENT)


def marks(placed: Sequence[Mark], taken_by_others: Sequence[Box] = ()) -> list[str]:
    """A dot for every mark, and its name where it hides no other name, no dot and nothing of the others."""
    taken = [*taken_by_others, *((mark.x - 6, mark.y - 6, mark.x + 6, mark.y + 6) for mark in placed)]
    parts = [f'<circle cx="{mark.x:.1f}" cy="{mark.y:.1f}" r="5" class="{mark.kind}"/>' for mark in placed]
    for mark in placed:
        places = _places_of_name(mark)
        chosen = min(places, key=lambda place: sum(_overlap(place.box, other) for other in taken))
        taken.append(chosen.box)
        parts.append(text(chosen.x, chosen.base, mark.name, chosen.anchor))
    return parts


@dataclass(frozen=True)
class _Place:
    """Where a name may stand: anchored so that it keeps its distance to the dot at every size of text."""

    anchor: str
    x: float
    base: float
    box: Box  # at the larger size


def _places_of_name(mark: Mark) -> list[_Place]:
    """Right of the dot, left of it, above and below it; inside the plot."""
    width = len(mark.name) * TEXT_WIDTH
    first, last = 2.0, WIDTH - 2 - width  # where a name may begin
    centre = min(max(mark.x - width / 2, first), last) + width / 2
    beside = [("start", mark.x + 8, mark.x + 8), ("end", mark.x - 8, mark.x - 8 - width)]
    places = [(anchor, x, left, mark.y + 4) for anchor, x, left in beside if first <= left <= last]
    places += [("middle", centre, centre - width / 2, mark.y + rise) for rise in (-10, 20, -27, 37, -44, 54, -61, 71)]
    return [_Place(anchor, x, base, text_box(x, base, mark.name, anchor)) for anchor, x, _, base in places]


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def plot(name: str, height: float, title: str, body: str) -> str:
    """A whole plot. name: its id in the page, and its file name when it is saved."""
    return (
        f'<svg id="{name}" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" role="img" '
        f'aria-label="{escape(title)}">{body}</svg>'
    )


def _log_ticks(low: float, high: float, num_wanted: int) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1, 2, 3, 4, 5, 6, 7, 8), (1, 2, 5), (1, 3), (1,)):
        found = [digit * 10.0**decade for decade in decades for digit in digits if low <= digit * 10.0**decade <= high]
        if len(found) <= num_wanted + 2:
            return found
    return found[:: math.ceil(len(found) / num_wanted)]
