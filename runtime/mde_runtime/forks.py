"""Processes that fork: a child has its parent's objects, but not the threads that they work by, nor the GPU."""

import os
import threading
from types import TracebackType

from mde_runtime.errors import UsageError


class Home:
    """The process that something was opened in, where alone it works."""

    def __init__(self) -> None:
        self._process = os.getpid()

    @property
    def is_elsewhere(self) -> bool:
        """Whether this process was forked from it."""
        return os.getpid() != self._process

    def check(self) -> None:
        """Raise UsageError in a forked process."""
        if self.is_elsewhere:
            raise UsageError(
                "this estimator was opened before this process was forked, and works only in the parent; open the "
                "bundle in this process, or start processes with spawn"
            )


class Turn:
    """Whose turn it is among the threads of a process; a forked one, where a lock may be held for ever, has none."""

    def __init__(self, home: Home):
        self._home, self._lock = home, threading.RLock()  # R: the garbage collector may end a thread's own stream in it

    def __enter__(self) -> None:
        self._home.check()
        self._lock.acquire()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._lock.release()
