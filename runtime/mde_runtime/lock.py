"""One process at a time: a lock on a file, that the operating system takes back from whoever dies."""

import contextlib
import errno
import os
import platform
from collections.abc import Iterator
from pathlib import Path

from mde_runtime.errors import one_line

HELD = {errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK}  # what a system says of a lock that somebody else holds
NO_LOCKS = {errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK}  # of some network file systems
MOST_BYTES = 200  # that are read of a lock: a process and its machine

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
    """Wait until nobody else holds the lock `path`, and hold it while the block runs. The file stays."""
    handle = _opened(path)
    try:
        _lock(handle, waits=True)
        yield
    finally:
        os.close(handle)  # gives the lock back


@contextlib.contextmanager
def if_free(path: Path) -> Iterator[bool | None]:
    """Hold the lock `path` while the block runs, where nobody else holds it. Says whether it does; never waits.

    None: the file system has no locks.
    """
    handle = _opened(path)
    try:
        yield _is_taken_now(handle)
    finally:
        os.close(handle)


def holder(path: Path) -> str:
    """Who took the lock `path` last by `if_free`, in words: the process and its machine, where they can be read."""
    try:
        signature = path.read_bytes()[:MOST_BYTES].decode("ascii", "replace")
    except OSError:
        signature = ""
    return one_line(signature) or "another process"


def _is_taken_now(handle: int) -> bool | None:
    try:
        _lock(handle, waits=False)
    except OSError as error:
        if error.errno in NO_LOCKS:
            return None
        if error.errno not in HELD:
            raise
        return False
    with contextlib.suppress(OSError):  # a full disk takes the lock, but not the words
        if os.fstat(handle).st_size > MOST_BYTES:  # another file of the user's, under the lock's name
            return True
        os.ftruncate(handle, 0)
        os.write(handle, f"process {os.getpid()} on {platform.node()}".encode("ascii", "replace"))
    return True


def _opened(path: Path) -> int:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
