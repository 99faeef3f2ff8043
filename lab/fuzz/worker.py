"""The process that reads one mutant after the other, and may crash or hang. It imports little but its reader."""

import os
import resource
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType

from mde_runtime.errors import MdeError

MEMORY_BYTES = 3 << 30  # beyond what the process has once its libraries are loaded: a picture of 16384 x 16384 px fits


class WronglyReadError(Exception):
    """A reader took a file and gave something else than is in it, or than it promises."""


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant: read, refused, wrong, crashed or hung; of the last three where, and the words for it."""

    kind: str
    place: str = ""
    words: str = ""

    @property
    def is_fine(self) -> bool:
        """Whether the reader did as it promises."""
        return self.kind in ("read", "refused")


def serve(read: Callable[[Path], None], path: Path, theirs: Connection) -> None:
    """Read the file each time that it is asked for, until this process is killed."""
    _be_quiet()
    outcome_of(read, path)
    _limit_memory()
    theirs.send(None)
    while True:
        theirs.recv()
        theirs.send(outcome_of(read, path))


def outcome_of(read: Callable[[Path], None], path: Path) -> Outcome:
    """What becomes of a file."""
    try:
        read(path)
    except MdeError as error:
        return Outcome("refused") if str(error) else Outcome("wrong", "", "it is refused without a word")
    except WronglyReadError as error:
        return Outcome("wrong", str(error), str(error))
    except BaseException as error:  # noqa: BLE001  any other is a finding
        name = type(error).__name__
        return Outcome("crashed", f"{name} at {_place(error.__traceback__)}", f"{name}: {error}"[:300])
    return Outcome("read")


def _place(raised_at: TracebackType | None) -> str:
    frames = traceback.extract_tb(raised_at)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""


def _be_quiet() -> None:
    """Leave this terminal to whoever watches: libraries in C write to it."""
    warnings.simplefilter("ignore")
    nothing = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nothing, stream)


def _limit_memory() -> None:
    """Keep the process from taking much more memory than it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit_bytes = pages * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit_bytes, limit_bytes))
