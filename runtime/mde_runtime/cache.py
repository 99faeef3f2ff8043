"""The user's cache: what this machine has found out about a model, and may find out again.

`$MDE_CACHE`, else the platform's cache folder. Only its owner may write there: a verification is believed, and an
engine executed, because nobody else can have put it there. Entries that somebody else can have put or renamed there,
while it was open, count as none, and so does what cannot be read: it is named once, and made again.
"""

import contextlib
import hashlib
import os
import shutil
import stat
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np
import numpy.typing as npt

from mde_runtime import files, records
from mde_runtime.errors import BadInputError, MachineError
from mde_runtime.machine import this_machine
from mde_runtime.precision import Precision

VARIABLE = "MDE_CACHE"
LAYOUT = "3"  # of an entry; those of another one lie under other names
DIGEST_BYTES = 32
OWNER_ALONE = 0o600
CLOSED_TO_LINKS_AND_WAITS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
DAY_S = 86400.0
LOCK = ".lock"
# Its folders; anything else there is not ours.
KINDS = ("verifications", "rankings", "engines", "frames", "openvino", "kernels")
ABANDONED_S = 3600.0  # a draft that was not written to for so long has no writer any more
Record = TypeVar("Record")


_ignored: dict[Path, str] = {}  # entries that count as none, and why; said once in the life of a process
_said: set[Path] = set()


def cache_dir() -> Path:
    """The cache folder, made with mode 0700 where it is missing.

    Raises MachineError when it belongs to another user, when other users may write to it, or when it cannot be made.
    """
    folder = Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else _platform_folder() / "mde-toolchain"
    _check_closed(folder, f"make it private and empty it: chmod 700 {folder} && mde-bundle cache prune --all")
    for below in (folder / kind for kind in KINDS):
        if os.path.lexists(below):
            _check_closed(below, _remove(below))
    return folder


def folder_of(kind: str) -> Path:
    """The folder of a kind of entries, made and checked as the cache itself."""
    folder = cache_dir() / kind
    _check_closed(folder, _remove(folder))
    return folder


def _remove(folder: Path) -> str:
    return f"remove it, its contents will be rebuilt: rm -r {folder}"


def _check_closed(folder: Path, remedy: str) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    except OSError as error:
        raise MachineError(f"{folder}: cannot hold the cache ({error.strerror}); set {VARIABLE}") from error
    if os.name == "posix":
        if status.st_uid != os.geteuid():
            raise MachineError(f"{folder}: the cache belongs to another user; set {VARIABLE} to a folder of your own")
        if status.st_mode & 0o022:
            raise MachineError(f"{folder}: other users may write to the cache; {remedy}")


def put_record(kind: str, key: Mapping[str, str], record: object) -> None:
    """Keep a record under its kind and key, in place of an older one."""
    write(_path(kind, key, ".json"), records.dumps({"key": dict(key), "record": record}).encode())


def get_record(record_class: type[Record], kind: str, key: Mapping[str, str]) -> Record | None:
    """The record kept under this kind and key. None where there is none, or none that can be believed or read."""
    path = _path(kind, key, ".json")
    if (file := opened(path)) is None:
        return None
    with file:
        text = file.read()
    try:
        entry = records.parse(text, kind)
        if not isinstance(entry, dict) or entry.get("key") != dict(key):  # renamed, or copied over another one
            raise BadInputError("it is not a valid record; delete it")
        return records.from_json(record_class, entry.get("record"), kind)
    except BadInputError as error:
        ignore(path, str(error).partition(";")[0])
        return None


def put_blob(kind: str, key: Mapping[str, str], content: bytes) -> None:
    """Keep bytes under their kind and key, in place of older ones."""
    write(_path(kind, key, ".blob"), _digest(key, content) + content)


def get_blob(kind: str, key: Mapping[str, str]) -> npt.NDArray[np.uint8] | None:
    """The bytes kept under this kind and key. None where there are none, or not those that were put there."""
    path = _path(kind, key, ".blob")
    if (file := opened(path)) is None:
        return None
    with file:
        digest = file.read(DIGEST_BYTES)
        content = np.fromfile(file, np.uint8)  # 100 MB, and not copied once more
    if _digest(key, content.data) != digest:
        ignore(path, "its content was changed")
        return None
    with contextlib.suppress(OSError):
        os.utime(path)  # used: `unused_blobs` goes by it
    return content


def distrust_blob(kind: str, key: Mapping[str, str], why: str) -> None:
    """Count the bytes kept under this kind and key as none: whoever they are for cannot use them."""
    ignore(_path(kind, key, ".blob"), why)


def opened(path: Path) -> BinaryIO | None:
    """An entry to read. None where there is none, or it is no file that its owner alone can have put there."""
    try:
        descriptor = os.open(path, os.O_RDONLY | CLOSED_TO_LINKS_AND_WAITS)
    except FileNotFoundError:
        return None
    except OSError as error:
        ignore(path, "is a link" if path.is_symlink() else str(error.strerror))
        return None
    if reason := _doubt(os.fstat(descriptor)):
        os.close(descriptor)
        ignore(path, reason)
        return None
    return os.fdopen(descriptor, "rb", buffering=0)


def is_trusted(path: Path) -> bool:
    """Whether an entry is there, and a file that its owner alone can have put there."""
    file = opened(path)
    if file is not None:
        file.close()
    return file is not None


def _doubt(status: os.stat_result) -> str:
    """Why an entry cannot be believed; empty where it can."""
    if not stat.S_ISREG(status.st_mode):
        return f"is {files.kind_of(status.st_mode)}"
    if os.name == "posix":
        if status.st_uid != os.geteuid():
            return "belongs to another user"
        if status.st_mode & 0o022:
            return "other users may write to it"
        if status.st_nlink > 1:
            return "has a second hard link"
    return ""


def ignore(path: Path, why: str) -> None:
    """Note that an entry counts as none."""
    if path not in _said:
        _ignored[path] = why


def take_ignored() -> tuple[str, ...]:
    """What counted as none since the last call, a line each, for a person. Each entry is named once."""
    _said.update(_ignored)
    lines = tuple(f"{path}: {why}; ignored, and will be rebuilt" for path, why in _ignored.items())
    _ignored.clear()
    return lines


def _digest(key: Mapping[str, str], content: bytes | memoryview) -> bytes:
    """Of the content and the key: an entry under another name is another entry."""
    digest = hashlib.sha256(_key_text(key))
    digest.update(content)
    return digest.digest()


def unused_blobs(days: float) -> list[Path]:
    """The kept bytes of every kind that nobody has asked for in so many days."""
    oldest = time.time() - days * DAY_S
    blobs = (path for path in kept() if path.suffix == ".blob" and not path.name.startswith("."))
    return [path for path in blobs if path.lstat().st_mtime < oldest]


def drafts() -> list[Path]:
    """What interrupted writers of every kind left behind."""
    return [path for path in kept() if path.name.startswith(".") and not is_in_use(path)]


def kept() -> list[Path]:
    """Every entry of the cache, of whatever kind. Somebody may have pointed it at a folder that holds other things."""
    below = (path for kind in KINDS for path in sorted((cache_dir() / kind).rglob("*")))
    return [path for path in below if path.is_symlink() or not path.is_dir()]


def is_in_use(path: Path) -> bool:
    """Whether somebody may hold or write a file of the cache now: a lock, or a draft that is fresh."""
    if not path.name.startswith("."):
        return path.suffix == LOCK
    try:
        return time.time() - path.lstat().st_mtime < ABANDONED_S
    except FileNotFoundError:  # its writer has just finished it
        return True


@dataclass(frozen=True)
class RankedCandidate:
    """How fast a backend ran a precision's graph."""

    backend: str
    precision: Precision
    p50_s: float  # median time of one frame, end to end


@dataclass(frozen=True)
class Ranking:
    """What `mde-bench` found to be fastest on this machine; `DepthEstimator.open` tries in this order."""

    fp32_sha256: str  # of the bundle's FP32 graph: which model this is about
    cpu: str
    instruction_set: tuple[str, ...]
    fastest_first: tuple[RankedCandidate, ...]


def put_ranking(fp32_sha256: str, candidates: tuple[RankedCandidate, ...]) -> None:
    """Keep the ranking of a model's candidates on this machine."""
    machine = this_machine()
    fastest_first = tuple(sorted(candidates, key=lambda candidate: candidate.p50_s))
    ranking = Ranking(fp32_sha256, machine.cpu, machine.instruction_set, fastest_first)
    put_record("rankings", _ranking_key(fp32_sha256), ranking)


def get_ranking(fp32_sha256: str) -> Ranking | None:
    """This machine's ranking of a model; None where it was never benched."""
    return get_record(Ranking, "rankings", _ranking_key(fp32_sha256))


def _ranking_key(fp32_sha256: str) -> dict[str, str]:
    machine = this_machine()
    return {"graph": fp32_sha256, "device": machine.cpu, "instruction set": " ".join(machine.instruction_set)}


def write(path: Path, content: bytes) -> None:
    """Write a file of the cache, whole or not at all, in place of whatever is there.

    Raises MachineError where its disk or folder refuses.
    """
    try:
        clear(path)
        with files.replacing(path) as draft:
            draft.touch(OWNER_ALONE, exist_ok=False)
            draft.write_bytes(content)
    except OSError as error:
        raise MachineError(
            f"{path.parent}: the cache cannot be written to ({error.strerror}); free some space, or set {VARIABLE} "
            "to a folder elsewhere"
        ) from error


def clear(path: Path) -> None:
    """Remove what stands in an entry's place and counts as none: a folder after a bad copy, a link, another's file."""
    with contextlib.suppress(FileNotFoundError):
        status = path.lstat()
        if stat.S_ISDIR(status.st_mode):
            shutil.rmtree(path)
        elif _doubt(status):
            path.unlink()


def _path(kind: str, key: Mapping[str, str], suffix: str) -> Path:
    digest = files.sha256_of(LAYOUT.encode() + _key_text(key))
    return folder_of(kind) / f"{digest}{suffix}"


def _key_text(key: Mapping[str, str]) -> bytes:
    return records.dumps(dict(sorted(key.items()))).encode()


def _platform_folder() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
