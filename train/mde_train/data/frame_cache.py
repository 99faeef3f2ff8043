"""Records in a file of the cache: made once, gone on with where an interrupted run ended, and mapped into memory."""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mde_runtime import cache
from mde_runtime.command import say
from mde_runtime.errors import BadInputError, MachineError
from mde_runtime.lock import only_one
from mde_runtime.progress import progress

Records = npt.NDArray[np.void]

LEFT_FREE_BYTES = 2 * 1024**3  # of the disk: for checkpoints, and for everybody else
SAVED_EVERY = 500  # records: what an interruption may cost


def stored(name: str, num_records: int, form: np.dtype[np.void], fill: Callable[[Records, int], None]) -> Records:
    """The records of that name, mapped; made now, by `fill` for each index, where they are not kept yet.

    One process makes them and the others wait. Raises MachineError when the disk has no room for them.
    """
    folder = cache.folder_of("frames")
    path = folder / f"{name}.npy"
    if not cache.is_trusted(path):
        with only_one(folder / "frames.lock"):  # a name that `mde-bundle cache prune` leaves alone
            if not cache.is_trusted(path):
                cache.clear(path)
                _make(path, num_records, form, fill)
    for line in cache.take_ignored():
        say(line)
    # "c": what is written stays in memory; torch warns of arrays that cannot be written
    kept: Records = np.load(path, mmap_mode="c")
    return kept


def _make(path: Path, num_records: int, form: np.dtype[np.void], fill: Callable[[Records, int], None]) -> None:
    draft, reached = path.with_name(f".{path.name}"), path.with_name(f".{path.stem}.reached")
    for abandoned in set(path.parent.glob(".*.npy")) - {draft}:  # by runs over other data; nobody else holds the lock
        abandoned.with_suffix(".reached").unlink(missing_ok=True)
        abandoned.unlink()
    for entry in (draft, reached):
        cache.clear(entry)
    said = reached.read_text() if reached.exists() and draft.exists() else ""
    num_done = int(said) if said.isdecimal() else 0
    if num_done:
        kept: np.memmap[Any, np.dtype[np.void]] = np.lib.format.open_memmap(draft, "r+")
    else:
        reached.unlink(missing_ok=True)  # of a draft that is gone: a new one holds none of its records
        _announce(draft, num_records * form.itemsize)
        draft.unlink(missing_ok=True)
        draft.touch(cache.OWNER_ALONE)
        kept = np.lib.format.open_memmap(draft, "w+", form, (num_records,))
    try:
        _reserve(draft)
        with progress(f"keeping decoded frames in {path.parent}", total=num_records) as advance:
            for index in range(num_records):
                if index >= num_done:
                    fill(kept, index)
                    if (index + 1) % SAVED_EVERY == 0:
                        kept.flush()
                        cache.write(reached, str(index + 1).encode())
                advance()
    except (BadInputError, OSError):  # mended data are others, by their hash: there is nothing to go on with
        draft.unlink()
        reached.unlink(missing_ok=True)
        raise
    kept.flush()
    draft.replace(path)
    reached.unlink(missing_ok=True)


def _announce(draft: Path, size_bytes: int) -> None:
    """Say what is going to lie where. Raises MachineError when there is no room for it."""
    free_bytes = shutil.disk_usage(draft.parent).free - LEFT_FREE_BYTES
    if size_bytes > free_bytes:
        raise MachineError(
            f"{draft.parent}: the decoded frames take {size_bytes / 1e9:.1f} GB, and {max(free_bytes, 0) / 1e9:.1f} "
            "are free; set MDE_CACHE to a folder with more room"
        )
    say(
        f"keeping {size_bytes / 1e6:.0f} MB of decoded frames in {draft.parent}, also for later runs; mde-bundle "
        "cache prune --all removes them"
    )


def _reserve(draft: Path) -> None:
    """Take the room on the disk: writing to the map of a file on a full one would end the process without a word."""
    if sys.platform == "linux":
        with draft.open("rb+") as file:
            os.posix_fallocate(file.fileno(), 0, draft.stat().st_size)
