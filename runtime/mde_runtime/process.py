"""The process that a command runs in: standard streams, account name and signals, put right before any work."""

import contextlib
import getpass
import io
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TextIO

STREAMS = ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w"))


def prepare() -> None:
    """Give the process what libraries take for granted: three open streams and a user's name."""
    for descriptor, _, _ in STREAMS:  # all of them first: what is opened takes the lowest that is closed
        _open_descriptor(descriptor)
    for _, name, mode in STREAMS:
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123  as long as the process
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # not a program's own, that runs a command in its process
            stream.reconfigure(errors="backslashreplace")  # file names that are no text, terminals without UTF-8
    _name_account()


def _open_descriptor(descriptor: int) -> None:
    """A closed one is opened on nothing: else the next file to be opened is taken for it, and written into."""
    try:
        os.fstat(descriptor)
    except OSError:
        opened = os.open(os.devnull, os.O_RDWR)
        if opened != descriptor:
            os.dup2(opened, descriptor)
            os.close(opened)
        os.set_inheritable(descriptor, True)


def _name_account() -> None:
    """A user that the system has no name for, as in many containers, is named by its number: torch asks for a name."""
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["USER"] = str(os.getuid())


def finish_streams() -> None:
    """Flush what was said. A stream that takes no more is let go: Python would flush again, and exit with 120."""
    for descriptor, name, _ in STREAMS[1:]:
        if not _takes_all(getattr(sys, name)):
            drop(descriptor)


def _takes_all(stream: TextIO) -> bool:
    with contextlib.suppress(ValueError):  # closed by whoever runs the command in its own process
        try:
            stream.flush()
        except OSError:
            return False
    return True


def drop(descriptor: int) -> None:
    """Let everything that is still written to a standard stream go nowhere."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, descriptor)
    os.close(nothing)


def is_reader_gone() -> bool:
    """Whether stdout is a pipe or socket that nobody reads any more."""
    if not hasattr(select, "poll"):  # Windows
        return True
    poll = select.poll()
    try:
        poll.register(sys.stdout.fileno(), select.POLLOUT)
    except (OSError, ValueError):  # no descriptor
        return False
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


@contextlib.contextmanager
def remembering_ctrl_c() -> Iterator[Callable[[], bool]]:
    """Ctrl-C is raised as ever, and remembered: gives whether it came.

    Python drops an exception that comes while an object is freed, and libraries make others of it.
    """
    before = signal.getsignal(signal.SIGINT)
    if not callable(before) or not _is_main_thread():
        yield lambda: False  # ignored, as in a shell's background jobs; or nobody's to handle here
        return
    came = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal came
        came = True
        before(number, frame)

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield lambda: came
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def holding_ctrl_c() -> Iterator[Callable[[], bool]]:
    """Ctrl-C waits until the block ends, since it must not be raised where it would cross a library's C++.

    Gives whether it came, so that the library can be asked to stop.
    """
    before = signal.getsignal(signal.SIGINT)
    if not callable(before) or not _is_main_thread():
        yield lambda: False
        return
    came = False

    def hold(_number: int, _frame: FrameType | None) -> None:
        nonlocal came
        came = True

    signal.signal(signal.SIGINT, hold)
    try:
        yield lambda: came
    finally:
        signal.signal(signal.SIGINT, before)
        if came:
            before(signal.SIGINT, None)


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


@contextlib.contextmanager
def terminating_by_ctrl_c() -> Iterator[Callable[[], bool]]:
    """SIGTERM is taken for Ctrl-C: what is half done is removed, a training run saves. Gives whether it came."""
    came = False

    def terminate(_number: int, _frame: FrameType | None) -> None:
        nonlocal came
        came = True
        signal.raise_signal(signal.SIGINT)

    can_interrupt = _is_main_thread() and callable(signal.getsignal(signal.SIGINT))
    if not can_interrupt or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield lambda: False
        return
    signal.signal(signal.SIGTERM, terminate)
    try:
        yield lambda: came
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextlib.contextmanager
def without_tracebacks(tell: Callable[[BaseException], None]) -> Iterator[None]:
    """What Python would print by itself: an exception that ends a thread goes to `tell`.

    One that comes while an object is freed is not printed: it changes nothing, and Ctrl-C is remembered.
    """

    def of_thread(ended: threading.ExceptHookArgs) -> None:
        if ended.exc_value is not None:
            tell(ended.exc_value)

    before = sys.unraisablehook, threading.excepthook
    sys.unraisablehook, threading.excepthook = lambda _: None, of_thread
    try:
        yield
    finally:
        sys.unraisablehook, threading.excepthook = before
