"""The figures of all modes of one candidate, a field for each row of MODES."""

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from mde_bench.timing.modes import MODES, ModeSettings
from mde_bench.timing.modes.offline import Offline
from mde_bench.timing.modes.paced import Paced
from mde_bench.timing.modes.sustained import Sustained
from mde_bench.timing.worker import Worker


class ModeFile(Protocol):
    """A mode's file."""

    HEADINGS: tuple[str, ...]

    def measure(self, worker: Worker, settings: ModeSettings) -> Any:  # Any: each mode's own figures, here and below
        """Measure a candidate. Raises CandidateError when it fails."""
        ...

    def in_words(self, found: Any) -> str:
        """The figures in one line, the mode's name first."""
        ...

    def rows(self, found: Any) -> list[tuple[float | None, ...]]:
        """The figures under HEADINGS, in the headings' units; None where something is not known."""
        ...


@dataclass(frozen=True)
class ModeFigures:
    """None where a mode was not asked for."""

    offline: Offline | None = None
    paced: Paced | None = None
    sustained: Sustained | None = None

    def in_words(self) -> list[str]:
        """A line for each mode that was measured."""
        return [mode_file(name).in_words(found) for name, found in self._measured()]

    def rows(self, name: str) -> list[tuple[float | None, ...]]:
        """The rows of a mode; none where it was not measured."""
        return [row for each, found in self._measured() if each == name for row in mode_file(each).rows(found)]

    def _measured(self) -> Iterator[tuple[str, Any]]:
        for name in MODES:
            if (found := getattr(self, name)) is not None:
                yield name, found


def measure_modes(worker: Worker, settings: ModeSettings) -> ModeFigures:
    """Measure a candidate in every mode that was asked for. Raises CandidateError when it fails."""
    return ModeFigures(**{name: mode_file(name).measure(worker, settings) for name in settings.names})


def mode_file(name: str) -> ModeFile:
    """The file of a row of MODES."""
    module: ModeFile = importlib.import_module(MODES[name].module)
    return module
