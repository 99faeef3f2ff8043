"""Depth as a recording of ROS 2 in 16-bit millimetres, as depth cameras give it; 0 is no measurement."""

import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path

from mde_runtime.sinks import Write, Writing, bag

has_result = functools.partial(bag.has_result, in_millimetres=True)


@contextlib.contextmanager
def writer(out: Path, writing: Writing) -> Iterator[Write]:
    """Write the bag `FILM.depth` below `out`: Image 16UC1. A depth beyond 65.535 m is an error, as in png16."""
    with bag.writer(out, writing, in_millimetres=True) as write:
        yield write
