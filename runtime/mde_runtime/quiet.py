"""Lines that libraries write to stderr by themselves, kept from the person, who gets a line of ours for each error."""

import contextlib
import os
import sys
import threading
import warnings
from collections.abc import Iterator

STDERR = 2
_one_at_a_time = threading.Lock()


@contextlib.contextmanager
def without_c_lines() -> Iterator[None]:
    """Drop what C libraries write to the process's stderr while the block runs, such as libtiff's complaints.

    Lines of other threads that write to that descriptor are dropped as well; see `own_stderr`.
    """
    with _one_at_a_time:
        try:
            before = os.dup(STDERR)
        except OSError:  # closed: nothing is written to it
            yield
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, STDERR)
            yield
        finally:
            os.dup2(before, STDERR)
            os.close(nowhere)
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
