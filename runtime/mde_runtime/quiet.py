"""Lines that libraries write to stderr by themselves, kept from the person, who gets a line of ours for each error."""

import contextlib
import os
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import IO

STDERR = 2
_one_at_a_time = threading.Lock()


@contextlib.contextmanager
def without_c_lines() -> Iterator[None]:
    """Drop what C libraries write to the process's stderr while the block runs, such as libtiff's complaints.

    Lines of other threads that write to that descriptor are dropped as well; see `own_stderr`.
    """
    with Path(os.devnull).open("wb") as nowhere, _stderr_in(nowhere):
        yield


@contextlib.contextmanager
def kept_c_lines() -> Iterator[list[str]]:
    """As `without_c_lines`; the list holds the lines once the block has ended."""
    lines: list[str] = []
    with tempfile.TemporaryFile() as kept:
        try:
            with _stderr_in(kept):
                yield lines
        finally:
            kept.seek(0)
            lines += kept.read().decode(errors="replace").splitlines()


@contextlib.contextmanager
def _stderr_in(file: IO[bytes]) -> Iterator[None]:
    """Let the process's stderr be a file while the block runs."""
    with _one_at_a_time:
        try:
            before = os.dup(STDERR)
        except OSError:  # closed: nothing is written to it
            yield
            return
        try:
            os.dup2(file.fileno(), STDERR)
            yield
        finally:
            os.dup2(before, STDERR)
            os.close(before)


@contextlib.contextmanager
def own_stderr() -> Iterator[None]:
    """Give Python's stderr a descriptor of its own, which `without_c_lines` leaves alone. Drop Pillow's warnings."""
    with warnings.catch_warnings(), contextlib.ExitStack() as stack:
        warnings.filterwarnings("ignore", module=r"PIL\.")
        if sys.stderr is sys.__stderr__ and sys.stderr is not None:
            ours, before = os.dup(sys.stderr.fileno()), sys.stderr
            before.flush()
            stream = open(ours, "w", 1, before.encoding, before.errors)  # noqa: SIM115, PTH123  a descriptor; closed below
            stack.enter_context(contextlib.redirect_stderr(stack.enter_context(stream)))
        yield
