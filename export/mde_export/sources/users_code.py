"""Somebody else's Python: its exceptions as one line with their file and line, its prints to stderr."""

import contextlib
import site
import sys
import sysconfig
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path

import mde_export
import mde_runtime
import mde_train
from mde_runtime.errors import BadInputError, MdeError, reason_of

ROOMS = (mde_export, mde_runtime, mde_train)
LIBRARIES = (*map(sysconfig.get_path, ("stdlib", "platstdlib", "purelib", "platlib")), *site.getsitepackages())
NOT_THEIRS = tuple(Path(folder).resolve() for folder in (*LIBRARIES, *(room.__path__[0] for room in ROOMS)))


@contextlib.contextmanager
def users_code(name: str, doing: str) -> Iterator[None]:
    """Run code of the module that `name`, `package.module:function`, is in. doing: what it does, as a subject.

    Raises BadInputError for whatever it raises.
    """
    try:
        with contextlib.redirect_stdout(sys.stderr):  # stdout holds our results
            yield
    except MdeError:
        raise
    except (Exception, SystemExit) as error:  # whatever their code raises
        raise BadInputError(f"{name}: {doing} fails{in_words(error, name)}; --debug shows the traceback") from error


def in_words(error: BaseException, name: str) -> str:
    """Where in the user's code and why, to go on with after a verb."""
    place = place_in(error, name)
    return f"{f' at {place}' if place else ''} ({type(error).__name__}: {reason_of(error)})"


def place_in(error: BaseException, name: str = "") -> str:
    """The last line of the user's own code that an exception went through, as file:line; empty where it did not."""
    if isinstance(error, SyntaxError) and error.filename and _is_theirs(Path(error.filename), name):
        return f"{_shown(Path(error.filename))}:{error.lineno}"
    places = [
        f"{_shown(Path(frame.filename))}:{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if _is_theirs(Path(frame.filename), name)
    ]
    return places[-1] if places else ""


def _is_theirs(file: Path, name: str) -> bool:
    """Whether a file is of the user's package, or of no library at all."""
    if not file.is_file():  # <frozen importlib>, <string>
        return False
    root = sys.modules.get(name.partition(":")[0].partition(".")[0])
    own = [Path(folder).resolve() for folder in getattr(root, "__path__", ())]
    return _is_below(file, own) or not _is_below(file, NOT_THEIRS)


def _is_below(file: Path, folders: Iterable[Path]) -> bool:
    return any(file.resolve().is_relative_to(folder) for folder in folders)


def _shown(file: Path) -> str:
    file = file.resolve()
    return str(file.relative_to(Path.cwd())) if file.is_relative_to(Path.cwd()) else str(file)
