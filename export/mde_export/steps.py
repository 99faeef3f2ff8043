"""The steps of an export: each is told with its seconds, shows its progress, and is where Ctrl-C is never lost."""

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from types import FrameType
from typing import Protocol

from mde_runtime.progress import progress


class Step(Protocol):
    """Starts a piece of work; gives the function that moves its progress on by one."""

    def __call__(self, name: str, total: int | None = None) -> AbstractContextManager[Callable[[], None]]:
        """name: in words; total: how often it moves on, where that is known."""
        ...


@contextlib.contextmanager
def steps(tell: Callable[[str], None]) -> Iterator[Step]:
    """Steps that are told when they end: name and seconds.

    While the block runs, Ctrl-C is an exception and is remembered, too: Python drops the exception when it comes while
    an object is being freed, which PyTorch's tracing does much of. So every step ends by asking.
    """
    was_interrupted = False

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        nonlocal was_interrupted
        was_interrupted = True
        raise KeyboardInterrupt

    def ask() -> None:
        if was_interrupted:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def step(name: str, total: int | None = None) -> Iterator[Callable[[], None]]:
        start_ns = time.perf_counter_ns()
        with progress(name, total) as move_on:

            def moved_on() -> None:
                move_on()
                ask()

            yield moved_on
        ask()
        tell(f"{name:<40} {(time.perf_counter_ns() - start_ns) / 1e9:6.1f} s")

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield step
    finally:
        signal.signal(signal.SIGINT, before)
