"""Files appear whole or not at all, and nothing but a file is ever replaced.

A file is written beside its target, synced, then renamed. A symbolic link stays, and the file that it leads to is
replaced. A device, a FIFO and our own stdout or stderr are written through, from a finished draft. A folder, a socket
and a disk are refused.
"""

import contextlib
import hashlib
import os
import secrets
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from mde_runtime.errors import BadInputError

STDOUT, STDERR = 1, 2
MAX_PART_BYTES = 64  # of a draft's name: a file's has at most 255, on some systems 143
MAX_SMALL_BYTES = 1 << 28  # of a list of frames: millions of lines
KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a disk (block device)"),
    (stat.S_ISSOCK, "a socket"),
)


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Give a path to write to, whose content becomes that of `target` when the block ends well, else is gone.

    Works where the writer insists on opening the file itself (zip, video, `torch.save`). Missing folders of
    `target` are made. The path keeps the target's suffix, since some writers choose their format by it.
    Raises BadInputError as `check_target`.
    """
    check_target(target)
    draft: Path | None = None
    try:
        with _sent(target) if is_stream(target) else _renamed(target) as draft:
            yield draft
    except OSError as error:
        if draft is None or not error.errno or error.filename not in (None, str(draft)):
            raise
        raise OSError(error.errno, error.strerror, str(target)) from error  # who reads it never heard of the draft


def check_target(target: Path) -> None:
    """Raise BadInputError where `target` cannot be written: what it is, or where it leads, is neither file nor stream.

    A link that leads nowhere yet is a new file there, where its folder exists: another disk may not be mounted.
    """
    status = _status(target)
    if status is None:
        leads_to = Path(os.path.realpath(target))
        if target.is_symlink() and not leads_to.parent.is_dir():
            raise BadInputError(f"{target}: a link to {leads_to}, whose folder does not exist; make it, or name a file")
    elif stat.S_ISDIR(status.st_mode):
        raise BadInputError(f"{target}: is a folder; name a file, in it or elsewhere")
    elif (stat.S_ISSOCK(status.st_mode) or stat.S_ISBLK(status.st_mode)) and _own_descriptor(status) is None:
        kind = "socket" if stat.S_ISSOCK(status.st_mode) else "disk (block device)"
        raise BadInputError(f"{target}: is a {kind}, which is never written to; name a file")


def check_regular(path: Path) -> None:
    """Raise BadInputError where `path` is there and no file to read: a FIFO or a device may have no end.

    Raises OSError where nothing is there, or it cannot be looked at.
    """
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        raise BadInputError(f"{path}: is {kind_of(mode)}, which is not read; name a file")


def read_small(path: Path) -> bytes:
    """The content of a file that is small by nature: a record, a list, limits.

    Raises BadInputError for one of more than `MAX_SMALL_BYTES` and what is no file, OSError as `check_regular`.
    """
    check_regular(path)
    with path.open("rb") as file:
        content = file.read(MAX_SMALL_BYTES + 1)
    if len(content) > MAX_SMALL_BYTES:
        raise BadInputError(
            f"{path}: has more than {MAX_SMALL_BYTES} bytes; it is not the file expected here, pass the right one"
        )
    return content


def kind_of(mode: int) -> str:
    """In words, what a path of this mode is that is no regular file."""
    return next((words for is_kind, words in KINDS if is_kind(mode)), "no file")


def is_stream(target: Path) -> bool:
    """Whether what is written to `target` passes through it: a device, a FIFO, our own stdout or stderr."""
    status = _status(target)
    return status is not None and (not stat.S_ISREG(status.st_mode) or _own_descriptor(status) is not None)


def _status(target: Path) -> os.stat_result | None:
    """Of what `target` is or leads to; None: nothing is there."""
    try:
        return target.stat()
    except FileNotFoundError:
        return None


def _own_descriptor(status: os.stat_result) -> int | None:
    """Our stdout or stderr where `status` is that: a rename would cut it off, and a socket opens by no name."""
    for descriptor in (STDOUT, STDERR):
        with contextlib.suppress(OSError):  # closed
            if os.path.samestat(status, os.fstat(descriptor)):
                return descriptor
    return None


@contextlib.contextmanager
def _renamed(target: Path) -> Iterator[Path]:
    """A draft beside the file, renamed to it."""
    file = Path(os.path.realpath(target)) if target.is_symlink() else target
    file.parent.mkdir(parents=True, exist_ok=True)
    # only named, not made: a Ctrl-C before the `try` has nothing to leave behind
    draft = file.with_name(f".{_start_of(target.stem)}-{secrets.token_hex(8)}{_start_of(target.suffix)}")
    try:
        yield draft
        with draft.open("rb+") as content:
            os.fsync(content.fileno())
        draft.replace(file)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _start_of(name: str) -> str:
    """As much of a name as fits into that of a draft, which is longer than its file's and may not be too long."""
    return os.fsencode(name)[:MAX_PART_BYTES].decode(errors="ignore")


@contextlib.contextmanager
def _sent(target: Path) -> Iterator[Path]:
    """A draft elsewhere, since nothing lies beside a stream and writers seek in what they write; sent when it is whole.

    A FIFO waits for its reader.
    """
    with tempfile.TemporaryDirectory(prefix="mde-") as folder:
        draft = Path(folder) / target.name
        yield draft
        descriptor = _own_descriptor(target.stat())
        sys.stdout.flush()
        sys.stderr.flush()
        try:
            with draft.open("rb") as content, os.fdopen(_opened(target, descriptor), "wb") as stream:
                shutil.copyfileobj(content, stream)
        except BrokenPipeError as error:
            if descriptor is not None:
                raise  # as wherever the reader of our stdout goes away
            raise BadInputError(f"{target}: its reader ended too early; start both again") from error


def _opened(target: Path, descriptor: int | None) -> int:
    return os.open(target, os.O_WRONLY) if descriptor is None else os.dup(descriptor)


def write_bytes(target: Path, content: bytes) -> None:
    """Write `content` to `target`, whole or not at all."""
    with replacing(target) as draft:
        draft.write_bytes(content)


def write_text(target: Path, content: str) -> None:
    """Write `content` to `target` as UTF-8 with Unix line ends, whole or not at all."""
    write_bytes(target, content.encode())


def sha256_of(content: bytes) -> str:
    """The SHA-256 of `content`, as 64 lower-case hex digits."""
    return hashlib.sha256(content).hexdigest()


def sha256_of_file(path: Path) -> str:
    """The SHA-256 of a file's content, read in pieces, as 64 lower-case hex digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
