"""The user's cache: what this machine has found out about a model, and may find out again.

`$MDE_CACHE`, else the platform's cache folder. Only its owner may write there: a verification is believed, and an
engine executed, because nobody else can have put it there.
"""

import contextlib
import hashlib
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from mde_runtime import files, records
from mde_runtime.certificate import Precision
from mde_runtime.errors import BadInputError, MachineError
from mde_runtime.machine import this_machine

VARIABLE = "MDE_CACHE"
DIGEST_BYTES = 32
DAY_S = 86400.0
LOCK = ".lock"
KINDS = (
    "verifications",
    "rankings",
    "engines",
    "frames",
    "openvino",
    "kernels",
)  # folders; what else is there is not ours
ABANDONED_S = 3600.0  # a draft that was not written to for so long has no writer any more
Record = TypeVar("Record")


def cache_dir() -> Path:
    """The cache folder, made with mode 0700 where it is missing.

    Raises MachineError when it belongs to another user, when others may write to it, or when it cannot be made.
    """
    folder = Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else _platform_folder() / "mde-toolchain"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    except OSError as error:
        raise MachineError(f"{folder}: no cache folder can be there ({error.strerror}); set {VARIABLE}") from error
    if os.name == "posix":
        if status.st_uid != os.geteuid():
            raise MachineError(f"{folder}: the cache belongs to another user; set {VARIABLE} to a folder of your own")
        if status.st_mode & 0o022:
            raise MachineError(f"{folder}: others may write to the cache; close it: chmod 700 {folder}")
    return folder


def put_record(kind: str, key: Mapping[str, str], record: object) -> None:
    """Keep a record under its kind and key, in place of an older one."""
    write(_path(kind, key, ".json"), records.dumps(record).encode())


def get_record(record_class: type[Record], kind: str, key: Mapping[str, str]) -> Record | None:
    """The record kept under this kind and key. None where there is none, or none that this version can read."""
    try:
        return records.loads(record_class, _path(kind, key, ".json").read_bytes(), kind)
    except (FileNotFoundError, BadInputError):  # what cannot be read is found out again, and written anew
        return None


def put_blob(kind: str, key: Mapping[str, str], content: bytes) -> None:
    """Keep bytes under their kind and key, in place of older ones."""
    write(_path(kind, key, ".blob"), hashlib.sha256(content).digest() + content)


def get_blob(kind: str, key: Mapping[str, str]) -> npt.NDArray[np.uint8] | None:
    """The bytes kept under this kind and key. None where there are none, or not those that were put there."""
    path = _path(kind, key, ".blob")
    try:
        with path.open("rb", buffering=0) as file:
            digest = file.read(DIGEST_BYTES)
            content = np.fromfile(file, np.uint8)  # 100 MB, and not copied once more
    except FileNotFoundError:
        return None
    if hashlib.sha256(content.data).digest() != digest:
        return None
    with contextlib.suppress(OSError):
        os.utime(path)  # used: `unused_blobs` goes by it
    return content


def unused_blobs(days: float) -> list[Path]:
    """The kept bytes of every kind that nobody has asked for in so many days."""
    oldest = time.time() - days * DAY_S
    blobs = (path for path in kept() if path.suffix == ".blob" and not path.name.startswith("."))
    return [path for path in blobs if path.stat().st_mtime < oldest]


def drafts() -> list[Path]:
    """What interrupted writers of every kind left behind."""
    return [path for path in kept() if path.name.startswith(".") and not is_in_use(path)]


def kept() -> list[Path]:
    """Every file of the cache, of whatever kind. Somebody may have pointed it at a folder that holds other things."""
    below = (path for kind in KINDS for path in sorted((cache_dir() / kind).rglob("*")))
    return [path for path in below if path.is_file()]


def is_in_use(path: Path) -> bool:
    """Whether somebody may hold or write a file of the cache now: a lock, or a draft that is fresh."""
    if not path.name.startswith("."):
        return path.suffix == LOCK
    try:
        return time.time() - path.stat().st_mtime < ABANDONED_S
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
    """Write a file of the cache, whole or not at all. Raises MachineError where its disk or folder refuses."""
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        files.write_bytes(path, content)
    except OSError as error:
        raise MachineError(
            f"{path.parent}: the cache cannot be written to ({error.strerror}); free some space, or set {VARIABLE} "
            "to a folder elsewhere"
        ) from error


def _path(kind: str, key: Mapping[str, str], suffix: str) -> Path:
    digest = files.sha256_of(records.dumps(dict(sorted(key.items()))).encode())
    return cache_dir() / kind / f"{digest}{suffix}"


def _platform_folder() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
