"""Text files that list frames, one per line: of a split, or of a recording."""

from collections.abc import Iterator
from pathlib import Path

from mde_runtime import files
from mde_runtime.errors import BadInputError
from mde_runtime.numbers import shown

MOST_BYTES = 255  # of a name, on every file system in use


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Every line that is not empty, with its number from 1. Raises BadInputError when there is none, or no text."""
    try:
        text = files.read_small(path).decode("utf-8-sig")  # some editors begin UTF-8 with a byte order mark
    except UnicodeDecodeError as error:
        raise BadInputError(f"{path}: not a text file; copy it again") from error
    found = [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    if not found:
        raise BadInputError(f"{path}: lists no frames; copy it again")
    yield from found


def file_inside(folder: Path, name: str, listed_in: Path, number: int) -> Path:
    """As `inside`, of a file: refuses what no file can be called."""
    parts = Path(name).parts
    if not parts or "\0" in name or any(len(part.encode()) > MOST_BYTES for part in parts):
        raise BadInputError(f"{listed_in}, line {number}: {shown(name)} is not a file name; fix this line")
    return inside(folder, name, listed_in, number)


def inside(folder: Path, name: str, listed_in: Path, number: int) -> Path:
    """The file that a line names, in the folder. Raises BadInputError when it leads out of it: a list is only data."""
    relative = Path(name)
    if not name or relative.is_absolute() or ".." in relative.parts:
        raise BadInputError(f"{listed_in}, line {number}: {shown(name)} is not a path inside {folder}; fix this line")
    return folder / relative
