import errno
import hashlib
import os
import socket
import stat
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest

from mde_runtime import files
from mde_runtime.errors import BadInputError


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


def write_half(target: Path, failure: BaseException) -> None:
    with files.replacing(target) as draft:
        draft.write_bytes(b"half")
        raise failure


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, failure):
    target = tmp_path / "model.mde"
    target.write_bytes(b"old")
    with pytest.raises(type(failure)):
        write_half(target, failure)
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


@pytest.fixture
def linked(tmp_path):
    """Two folders: a link in `here` that leads to a file name in `there`."""
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    link, target = tmp_path / "here" / "link.json", tmp_path / "there" / "target.json"
    link.symlink_to(target)
    return link, target


def test_a_link_stays_and_the_file_it_leads_to_is_replaced_whole(linked):
    link, target = linked
    target.write_text("old")
    before = target.stat().st_ino
    with files.replacing(link) as draft:
        draft.write_text("new")
        assert (draft.parent, draft.suffix) == (target.parent, link.suffix)  # one disk, so that a rename can do it
        assert target.read_text() == "old"
    assert (link.is_symlink(), target.read_text(), target.stat().st_ino != before) == (True, "new", True)


def test_what_fails_leaves_the_file_that_a_link_leads_to(linked):
    link, target = linked
    target.write_text("old")
    with pytest.raises(OSError, match="full") as caught:
        write_half(link, OSError(errno.ENOSPC, "full"))
    assert caught.value.filename == str(link)
    assert {path.name: path.read_text() for path in target.parent.iterdir()} == {"target.json": "old"}


def test_a_link_of_a_link_is_followed_to_its_end(linked, tmp_path):
    link, target = linked
    (tmp_path / "first").symlink_to(link)
    files.write_text(tmp_path / "first", "new")
    assert (target.read_text(), target.is_symlink()) == ("new", False)
    assert (tmp_path / "first").is_symlink()


def test_a_link_to_a_file_that_is_not_there_yet_makes_it(linked):
    link, target = linked
    files.write_text(link, "new")
    assert (link.is_symlink(), target.read_text()) == (True, "new")


def test_a_link_into_a_folder_that_is_missing_is_refused(linked):
    link, target = linked
    target.parent.rmdir()
    with pytest.raises(BadInputError, match=r"link\.json: a link to .*target\.json, whose folder does not exist"):
        files.write_text(link, "new")
    assert not target.parent.exists()


def test_a_link_to_itself_is_named(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(OSError, match="symbolic links") as caught:
        files.write_text(tmp_path / "loop", "new")
    assert str(caught.value.filename) == str(tmp_path / "loop")


def write_zip(draft: Path) -> None:
    """As a writer that opens the draft itself, and goes back in it."""
    with zipfile.ZipFile(draft, "w") as archive:
        archive.writestr("a", b"depth")


@pytest.mark.parametrize("is_linked", [False, True], ids=["named", "by a link"])
def test_a_fifo_gets_what_a_file_would_and_stays_one(is_linked, tmp_path):
    fifo, got = tmp_path / "fifo", []
    os.mkfifo(fifo)
    target = tmp_path / "link" if is_linked else fifo
    if is_linked:
        target.symlink_to(fifo)
    reader = threading.Thread(target=lambda: got.append(fifo.read_bytes()))
    reader.start()
    with files.replacing(target) as draft:
        write_zip(draft)
    reader.join()
    (tmp_path / "got.zip").write_bytes(got[0])
    assert zipfile.ZipFile(tmp_path / "got.zip").read("a") == b"depth"
    assert stat.S_ISFIFO(fifo.stat().st_mode)
    assert target.is_symlink() == is_linked


def test_a_fifo_gets_nothing_of_what_fails(tmp_path):
    fifo, got = tmp_path / "fifo", []
    os.mkfifo(fifo)
    with pytest.raises(KeyboardInterrupt):
        write_half(fifo, KeyboardInterrupt())
    reader = threading.Thread(target=lambda: got.append(fifo.read_bytes()))
    reader.start()
    files.write_bytes(fifo, b"whole")
    reader.join()
    assert got == [b"whole"]


def test_a_fifo_whose_reader_ends_too_soon_is_named(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)

    def read_some() -> None:
        with fifo.open("rb") as file:
            file.read(1)

    reader = threading.Thread(target=read_some)
    reader.start()
    with pytest.raises(BadInputError, match=r"fifo: its reader ended too early"):
        files.write_bytes(fifo, bytes(1 << 20))  # more than any pipe holds
    reader.join()


def test_a_device_stays_one(tmp_path):
    link = tmp_path / "null"
    link.symlink_to(os.devnull)
    files.write_text(link, "new")
    assert link.is_symlink()
    assert stat.S_ISCHR(link.stat().st_mode)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_device_that_takes_nothing_is_named(tmp_path):
    link = tmp_path / "full"
    link.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as caught:
        files.write_text(link, "new")
    assert caught.value.filename == str(link)


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(BadInputError, match="is a folder; name a file"):
        files.write_text(tmp_path, "new")
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(BadInputError, match="link: is a folder; name a file"):
        files.write_text(tmp_path / "link", "new")


def test_a_socket_is_refused_and_stays(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a socket's name is at most about a hundred characters
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        with pytest.raises(BadInputError, match="socket: is a socket, which is never written to; name a file"):
            files.write_text(Path("socket"), "new")
        assert stat.S_ISSOCK(Path("socket").stat().st_mode)


PRINTS_BOTH = """
from pathlib import Path
from mde_runtime import files
print("before")
files.write_text(Path("/dev/stdout"), "figures\\n")
print("after")
"""


@pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="no /dev/stdout")
@pytest.mark.parametrize("kind", ["pipe", "file", "socket"])
def test_our_own_stdout_is_written_in_its_turn_whatever_it_is(kind, tmp_path):
    command = [sys.executable, "-c", PRINTS_BOTH]
    if kind == "pipe":
        got = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    elif kind == "file":
        with (tmp_path / "out").open("wb") as file:
            subprocess.run(command, stdout=file, check=True)
        got = (tmp_path / "out").read_bytes()
    else:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            subprocess.run(command, stdout=theirs, check=True)
            got = ours.recv(1000)
    assert got == b"before\nfigures\nafter\n"


def test_what_passes_through_is_known_beforehand(tmp_path):
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "fifo")
    kinds = {name: files.is_stream(tmp_path / name) for name in ("file", "fifo", "missing")}
    assert kinds == {"file": False, "fifo": True, "missing": False}


def test_a_small_file_is_read_whole(tmp_path):
    (tmp_path / "a.json").write_bytes(b"{}")
    assert files.read_small(tmp_path / "a.json") == b"{}"


def test_a_file_too_large_to_be_a_record_is_refused_and_not_read(tmp_path):
    with (tmp_path / "a.json").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(BadInputError, match=r"a\.json: has more than \d+ bytes"):
        files.read_small(tmp_path / "a.json")


def test_a_fifo_and_a_device_are_no_small_files(tmp_path):
    os.mkfifo(tmp_path / "a.json")
    for path in (tmp_path / "a.json", Path("/dev/zero")):
        with pytest.raises(BadInputError, match="which is not read; name a file"):
            files.read_small(path)
