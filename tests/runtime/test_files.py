import errno
import hashlib
import os
from pathlib import Path

import pytest

from mde_runtime import files


def test_content_arrives_whole_in_folders_that_are_made(tmp_path):
    files.write_text(tmp_path / "a" / "b.json", "ä\n")
    assert (tmp_path / "a" / "b.json").read_bytes() == "ä\n".encode()


def test_the_draft_has_the_targets_suffix_and_lies_beside_it(tmp_path):
    with files.replacing(tmp_path / "depth.npy") as draft:
        draft.write_bytes(b"")
        assert (draft.suffix, draft.parent) == (".npy", tmp_path)


def test_a_block_that_ends_before_it_writes_leaves_nothing(tmp_path):
    def write() -> None:
        with files.replacing(tmp_path / "depth.npy"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, failure):
    target = tmp_path / "model.mde"
    target.write_bytes(b"old")

    def write() -> None:
        with files.replacing(target) as draft:
            draft.write_bytes(b"half")
            raise failure

    with pytest.raises(type(failure)):
        write()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"model.mde": b"old"}


def test_an_error_names_the_target_and_not_the_draft(tmp_path):
    def write() -> None:
        with files.replacing(tmp_path / "model.mde"):
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left") as caught:
        write()
    assert caught.value.filename == str(tmp_path / "model.mde")


def test_a_disk_that_fills_up_at_the_sync_leaves_the_old_file(tmp_path, monkeypatch):
    target = tmp_path / "model.mde"
    target.write_bytes(b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        files.write_bytes(target, b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["model.mde"]
    assert target.read_bytes() == b"old"


def test_the_umask_decides_who_may_read(tmp_path):
    before = os.umask(0o027)
    try:
        files.write_bytes(tmp_path / "x", b"")
    finally:
        os.umask(before)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o640


def test_the_hash_of_a_file_is_that_of_its_content(tmp_path):
    content = b"depth" * 1_000_000  # more than one piece
    path: Path = tmp_path / "x"
    path.write_bytes(content)
    assert files.sha256_of_file(path) == files.sha256_of(content) == hashlib.sha256(content).hexdigest()
