"""The steps of an export: each is told with its seconds, shows its progress, and is where Ctrl-C is never lost."""

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol

from mde_runtime import process
from mde_runtime.progress import progress


class Step(Protocol):
    """Starts a piece of work; gives the function that moves its progress on by one."""

    def __call__(self, name: str, total: int | None = None) -> AbstractContextManager[Callable[[], None]]:
        """name: in words; total: how often it moves on, where that is known."""
        ...


@contextlib.contextmanager
def steps(tell: Callable[[str], None]) -> Iterator[Step]:
    """Steps that are told when they end: name and seconds.

    While the block runs, Ctrl-C is remembered: Python drops its exception when it comes while an object is freed, which
    PyTorch's tracing does much of. So every step begins and ends by asking.
    """
    with process.remembering_ctrl_c() as was_interrupted:

        def ask() -> None:
            if was_interrupted():
                raise KeyboardInterrupt

        @contextlib.contextmanager
        def step(name: str, total: int | None = None) -> Iterator[Callable[[], None]]:
            ask()
            start_ns = time.perf_counter_ns()
            with progress(name, total) as move_on:

                def advance() -> None:
                    move_on()
                    ask()

                yield advance
            ask()
            tell(f"{name:<40} {(time.perf_counter_ns() - start_ns) / 1e9:6.1f} s")

        yield step
        ask()
