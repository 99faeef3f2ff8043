"""The steps of an export: each is told with its seconds, and shows its progress while it runs."""

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol

from mde_runtime.progress import progress


class Step(Protocol):
    """Starts a piece of work; gives the function that moves its progress on by one."""

    def __call__(self, name: str, total: int | None = None) -> AbstractContextManager[Callable[[], None]]:
        """name: in words; total: how often it moves on, where that is known."""
        ...


def told(tell: Callable[[str], None]) -> Step:
    """Steps that are told when they end: name and seconds."""

    @contextlib.contextmanager
    def step(name: str, total: int | None = None) -> Iterator[Callable[[], None]]:
        start_ns = time.perf_counter_ns()
        with progress(name, total) as moved_on:
            yield moved_on
        tell(f"{name:<40} {(time.perf_counter_ns() - start_ns) / 1e9:6.1f} s")

    return step
