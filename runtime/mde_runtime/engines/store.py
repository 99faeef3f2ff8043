"""The engines of this machine. An engine is executable code: only the very bytes whose hash was checked leave here."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from mde_runtime import files, records
from mde_runtime.cache import LOCK, clear, folder_of, ignore, opened, write
from mde_runtime.cuda import open_cuda
from mde_runtime.engines.build import build_engine
from mde_runtime.engines.flavours import version_of
from mde_runtime.engines.key import EngineKey, EngineRecord
from mde_runtime.errors import BadInputError, MachineError
from mde_runtime.lock import if_free, only_one

ENGINE, RECORD = ".engine", ".json"


@dataclass(frozen=True)
class Entry:
    """A file of the store and its record. record None: none that can be read, so the engine will never be used."""

    path: Path
    record: EngineRecord | None


def folder() -> Path:
    """Where engines are kept."""
    return folder_of("engines")


def find(key: EngineKey) -> tuple[bytes, EngineRecord]:
    """The engine that was asked for last of the key's graph, library and device, its hash checked. Never builds.

    Raises MachineError that says why there is none and how to make one, or that it was altered.
    """
    fitting = [entry for entry in entries() if entry.record and entry.record.key.serves(key)]
    if not fitting:
        raise MachineError(f"{why_missing(key)}; build it here: mde-bundle engine MODEL --flavour {key.flavour}")
    newest = max(fitting, key=lambda entry: entry.path.stat().st_mtime_ns)
    return read(newest)


def read(entry: Entry) -> tuple[bytes, EngineRecord]:
    """An engine and its record; those that take their place, where that is just happening.

    Raises MachineError where the bytes are not those that were put there.
    """
    if (content := _sound(entry)) is not None and entry.record is not None:
        return content, entry.record
    with only_one(_lock(entry.path)):  # whoever was replacing it has done so now
        again = Entry(entry.path, _record_of(entry.path))
    if again.record is None or again == entry:
        raise MachineError(f"{entry.path}: this engine was altered; build it again: mde-bundle engine MODEL")
    return read(again)


def build(
    key: EngineKey,
    graph: bytes,
    *,
    is_fresh: bool = False,
    log_file: Path | None = None,
    advance: Callable[[], None] = lambda: None,
) -> EngineRecord:
    """Build the engine of a key, unless it is there already. One process builds a key at a time, the others wait.

    is_fresh: build it even where it is there.
    """
    path = folder() / f"{key.name}{ENGINE}"
    with only_one(_lock(path)):
        record = _record_of(path)
        if not is_fresh and record is not None and _sound(Entry(path, record)) is not None:
            os.utime(path)  # what was asked for last is what `find` gives
            return record
        for draft in folder().glob(f".{key.name}-*"):  # what a builder that was killed left behind
            draft.unlink()
        start = time.perf_counter()
        timings = folder() / _timings_of(key)
        clear(timings)
        engine = build_engine(graph, key.flavour, key.options, timing_cache=timings, log_file=log_file, advance=advance)
        return put(key, engine, time.perf_counter() - start)


def put(key: EngineKey, engine: bytes, build_s: float) -> EngineRecord:
    """Keep an engine; the caller holds its lock. Where the record does not fit the engine it is not used."""
    path = folder() / f"{key.name}{ENGINE}"
    gpu = open_cuda().gpu() if key.device else None
    record = EngineRecord(key, files.sha256_of(engine), len(engine), build_s, gpu)
    write(path, engine)
    write(path.with_suffix(RECORD), records.dumps(record).encode())
    return record


def install(key: EngineKey, source: Path, sha256: str) -> EngineRecord:
    """Keep an engine that was built on an equal machine. `sha256` is the operator's word that it is the right one.

    Raises BadInputError where the file is another one.
    """
    try:
        files.check_regular(source)
        engine = source.read_bytes()
    except OSError as error:
        raise BadInputError(f"{source}: {error.strerror}; name the file that --save wrote") from error
    if files.sha256_of(engine) != sha256.lower():
        raise BadInputError(f"{source}: its SHA-256 is {files.sha256_of(engine)}, not {sha256}; do not install it")
    with only_one(_lock(folder() / f"{key.name}{ENGINE}")):
        return put(key, engine, 0.0)


def entries() -> list[Entry]:
    """Every engine of the store."""
    return [Entry(path, _record_of(path)) for path in sorted(folder().glob(f"[!.]*{ENGINE}"))]


def why_missing(key: EngineKey) -> str:
    """Why the store has no engine for a key: what there is of the same graph, and how it differs."""
    of_graph = [entry.record.key for entry in entries() if entry.record]
    there = {other.in_words for other in of_graph if other.graph_sha256 == key.graph_sha256}
    if not there:
        return f"no engine for this graph was built by {key.flavour} yet"
    return f"this machine needs {key.in_words}, the engines of this graph are by {'; '.join(sorted(there))}"


def is_usable(entry: Entry) -> bool:
    """Whether an engine is what its record says, and of the library that is installed."""
    record = entry.record
    if record is None or _sound(entry) is None:
        return False
    try:
        return record.key.serves(replace(record.key, version=version_of(record.key.flavour)))
    except MachineError:
        return False


def remove_unusable() -> list[Path]:
    """Remove every engine that is not usable, but for those that are being built now. Gives what was removed."""
    removed = []
    for path in (entry.path for entry in entries()):
        with if_free(_lock(path)) as is_ours:
            if is_ours and not is_usable(Entry(path, _record_of(path))):
                for suffix in (RECORD, ENGINE):  # never the lock: who holds a removed one keeps nobody out
                    clear(path.with_suffix(suffix))
                    path.with_suffix(suffix).unlink(missing_ok=True)
                removed.append(path)
    return removed


def _sound(entry: Entry) -> bytes | None:
    """The engine's bytes, where they are those of its record."""
    content = _content(entry.path)
    if content is None or entry.record is None:
        return None
    return content if files.sha256_of(content) == entry.record.engine_sha256 else None


def _record_of(path: Path) -> EngineRecord | None:
    """The record of an engine, where it is that of the engine's own key."""
    kept = path.with_suffix(RECORD)
    if not path.exists() or (text := _content(kept)) is None:
        return None
    try:
        record = records.loads(EngineRecord, text, "record")
    except BadInputError as error:
        ignore(kept, str(error).partition(";")[0])
        return None
    if record.key.name != path.stem:
        ignore(kept, "is the record of another engine")
        return None
    return record


def _content(path: Path) -> bytes | None:
    """The bytes of an entry; None where there is none that can be believed."""
    file = opened(path)
    if file is None:
        return None
    with file:
        return file.read()


def _timings_of(key: EngineKey) -> str:
    """The file of a device's kernel timings. Two GPUs of one compute capability have other timings each."""
    device = files.sha256_of(f"{key.device} {key.num_multiprocessors}".encode())[:8] if key.device else "any"
    return f"timings-{key.flavour}-{key.version}-{key.compute_capability or 'any'}-{device}.cache"


def _lock(path: Path) -> Path:
    """The lock of an engine, which a bad copy may have made a folder, and another user a file of theirs."""
    lock = path.with_suffix(LOCK)
    clear(lock)
    return lock
