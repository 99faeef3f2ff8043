"""Files appear whole or not at all: written beside their target, synced, then renamed."""

import contextlib
import hashlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Give a path beside `target` to write to; rename it to `target` when the block ends well, else remove it.

    Works where the writer insists on opening the file itself (zip, video, `torch.save`). Missing folders of
    `target` are made. The path keeps the target's suffix, since some writers choose their format by it.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    # only named, not made: a Ctrl-C before the `try` has nothing to leave behind
    draft = target.with_name(f".{target.stem}-{secrets.token_hex(8)}{target.suffix}")
    try:
        yield draft
        with draft.open("rb+") as file:
            os.fsync(file.fileno())
        draft.replace(target)
    except BaseException as error:
        draft.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno and error.filename in (None, str(draft)):
            raise OSError(error.errno, error.strerror, str(target)) from error  # who reads it never heard of the draft
        raise


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
