"""One process at a time: a lock on a file, that the operating system takes back from whoever dies."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

if os.name == "nt":
    import msvcrt

    def _lock(handle: int, *, waits: bool) -> None:
        how = msvcrt.LK_LOCK if waits else msvcrt.LK_NBLCK  # type: ignore[attr-defined]  # Windows alone has it
        msvcrt.locking(handle, how, 1)  # type: ignore[attr-defined]
else:
    import fcntl

    def _lock(handle: int, *, waits: bool) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX if waits else fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextlib.contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Wait until nobody else holds the lock `path`, and hold it while the block runs. The file stays: it is empty."""
    handle = _opened(path)
    try:
        _lock(handle, waits=True)
        yield
    finally:
        os.close(handle)  # gives the lock back


@contextlib.contextmanager
def if_free(path: Path) -> Iterator[bool]:
    """Hold the lock `path` while the block runs, where nobody else holds it. Says whether it does; never waits."""
    handle = _opened(path)
    try:
        try:
            _lock(handle, waits=False)
            is_ours = True
        except OSError:
            is_ours = False
        yield is_ours
    finally:
        os.close(handle)


def _opened(path: Path) -> int:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
