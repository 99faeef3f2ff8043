"""The log and progress of an engine build, and a way to stop it.

The library calls back from C++, which no Python exception may cross: some are swallowed, some end the build with
another error. So the first is kept, the build is asked to stop, and the exception is raised after the library returned.
"""

import collections
import contextlib
import re
from collections.abc import Callable, Iterator
from typing import Any


class Caught:
    """The first exception of any callback."""

    def __init__(self) -> None:
        self.first: BaseException | None = None

    @contextlib.contextmanager
    def catching(self) -> Iterator[None]:
        """Keep what the block raises."""
        try:
            yield
        except BaseException as error:  # noqa: BLE001  it is raised again by `raise_first`
            self.first = self.first or error

    def raise_first(self) -> None:
        """Raise it, where there is one: the library has returned."""
        if self.first is not None:
            raise self.first


class BuildLog:
    """Collects the library's log. `logger` is what the library is given."""

    def __init__(self, library: Any, most: int | None = None):  # Any: neither TensorRT publishes types
        """most: how many of the last entries are kept; None: all."""
        self._lines: collections.deque[tuple[str, str]] = collections.deque(maxlen=most)
        self.caught = Caught()
        self.logger = _logger(library, self._lines, self.caught)

    @property
    def text(self) -> str:
        """The whole log, a line an entry."""
        return "".join(f"{severity}: {message}\n" for severity, message in self._lines)

    def cause(self, unrelated: re.Pattern[str] | None = None) -> str:
        """The first error, on one line, that is none of the `unrelated` ones."""
        for severity, message in self._lines:
            is_error = severity in ("ERROR", "INTERNAL_ERROR")
            if is_error and not (unrelated is not None and unrelated.search(message)):
                return " ".join(message.split())
        return "it gave no reason"


def _logger(library: Any, lines: collections.deque[tuple[str, str]], caught: Caught) -> Any:
    class Logger(library.ILogger):  # type: ignore[misc]  # the base is known only at run time
        def __init__(self) -> None:
            library.ILogger.__init__(self)  # pybind11 wants its own base called, not super()

        def log(self, severity: Any, message: str) -> None:
            with caught.catching():
                lines.append((severity.name, message))

    return Logger()


def build_monitor(library: Any, caught: Caught, advance: Callable[[], None], is_stopped: Callable[[], bool]) -> Any:
    """A progress monitor that calls `advance` at each step, and ends the build once it raised or `is_stopped`."""

    class Monitor(library.IProgressMonitor):  # type: ignore[misc]  # the base is known only at run time
        def __init__(self) -> None:
            library.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            pass

        def phase_finish(self, phase_name: str) -> None:
            pass

        def step_complete(self, phase_name: str, step: int) -> bool:  # noqa: ARG002  the library's signature
            with caught.catching():
                advance()
            return caught.first is None and not is_stopped()

    return Monitor()
