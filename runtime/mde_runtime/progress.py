"""Progress of long work on stderr: a bar on a terminal, and elsewhere a plain line now and then."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

from mde_runtime.command import say

LINE_EVERY_S = 20.0  # without a terminal; shorter work says nothing


@contextlib.contextmanager
def progress(description: str, total: int | None = None) -> Iterator[Callable[[], None]]:
    """Show how much is done while the block runs; give the function to call after each part.

    total None: their number is not known.
    """
    if not sys.stderr.isatty():
        num_done, line = 0, _lines(description)

        def advance() -> None:
            nonlocal num_done
            num_done += 1
            is_within = total is not None and num_done <= total  # work that repeats goes beyond what was planned
            line(f"{num_done} of {total}" if is_within else str(num_done))

        yield advance
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(description, total=total)
        yield lambda: bar.advance(task)


@contextlib.contextmanager
def progress_of_time(description: str, minutes: float) -> Iterator[Callable[[float], None]]:
    """Show how much of a given time is over; give the function to call now and then, with the minutes so far."""
    if not sys.stderr.isatty():
        line = _lines(description)
        yield lambda done: line(f"{done:.1f} of {minutes:g} min")
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn(f"{{task.completed:.1f}} of {minutes:g} min"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(description, total=minutes)
        yield lambda done: bar.update(task, completed=min(done, minutes))


def _lines(description: str) -> Callable[[str], None]:
    """A function that writes how far the work is, unless it wrote a short while ago."""
    said_s = time.monotonic()

    def line(done: str) -> None:
        nonlocal said_s
        if time.monotonic() - said_s >= LINE_EVERY_S:
            said_s = time.monotonic()
            say(f"{description}: {done}")

    return line
