"""What a builder says while it works: its log, its progress, and a way to stop it."""

import re
from collections.abc import Callable
from typing import Any


class BuildLog:
    """Collects the library's log. `logger` is what the library is given."""

    def __init__(self, library: Any):  # Any: neither TensorRT publishes types
        self._lines: list[tuple[str, str]] = []
        self.logger = _logger(library, self._lines)

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


def _logger(library: Any, lines: list[tuple[str, str]]) -> Any:
    class Logger(library.ILogger):  # type: ignore[misc]  # the base is known only at run time
        def __init__(self) -> None:
            library.ILogger.__init__(self)  # pybind11 wants its own base called, not super()

        def log(self, severity: Any, message: str) -> None:
            lines.append((severity.name, message))

    return Logger()


def build_monitor(library: Any, moved_on: Callable[[], None]) -> Any:
    """A progress monitor that calls `moved_on` at each step and ends the build on Ctrl-C (`interrupted`)."""

    class Monitor(library.IProgressMonitor):  # type: ignore[misc]  # the base is known only at run time
        def __init__(self) -> None:
            library.IProgressMonitor.__init__(self)
            self.interrupted = False

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            pass

        def phase_finish(self, phase_name: str) -> None:
            pass

        def step_complete(self, phase_name: str, step: int) -> bool:  # noqa: ARG002  the library's signature
            try:
                moved_on()
            except KeyboardInterrupt:  # an exception would have to cross the library's C++
                self.interrupted = True
            return not self.interrupted

    return Monitor()
