"""One reader's mutants, one after the other, in a process that may crash.

    python -m lab.fuzz.worker READER SEED FIRST LAST

Says each mutant's number before it is read, on a line of its own, and then how it ended.
"""

import json
import random
import resource
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

from lab.fuzz.mutants import mutant
from lab.fuzz.readers import READERS, Reader, WronglyReadError
from mde_runtime.errors import MdeError

MEMORY_BYTES = 3 << 30  # beyond what the process has once its libraries are loaded: a picture of 16384 x 16384 px fits


def content_of(reader: Reader, seeds: list[bytes], seed: int, number: int) -> bytes:
    """A reader's mutant, the same for the same numbers."""
    return mutant(random.Random(f"{reader.name} {seed} {number}"), seeds, reader.changes)


def outcome_of(read: Callable[[Path], None], path: Path) -> tuple[str, str]:
    """How reading ended: read, refused, wrong or crashed, and the words for the last two."""
    try:
        read(path)
    except MdeError as error:
        return ("refused", "") if str(error) else ("wrong", "it is refused without a word")
    except WronglyReadError as error:
        return "wrong", str(error)
    except BaseException as error:  # noqa: BLE001  any other is a finding
        return "crashed", f"{type(error).__name__}: {error}"[:300]
    return "read", ""


def main(name: str, seed: int, first: int, last: int) -> None:
    """Read the mutants from `first` to before `last`."""
    warnings.simplefilter("ignore")
    reader = READERS[name]
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        seeds = list(reader.seeds(folder))
        reader.prepare(folder)
        path = folder / reader.name
        path.write_bytes(seeds[0])
        outcome_of(reader.read, path)  # so that everything is loaded
        limit_memory()
        for number in range(first, last):
            say(number)
            path.write_bytes(content_of(reader, seeds, seed, number))
            say(*outcome_of(reader.read, path))


def limit_memory() -> None:
    """Keep the process from taking much more memory than it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit_bytes = pages * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit_bytes, limit_bytes))


def say(*words: object) -> None:
    """A line of JSON for whoever watches."""
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
