import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mde_runtime import MachineError, cache
from mde_runtime.cache import RankedCandidate, Ranking
from mde_runtime.cli.bundle import main


@pytest.fixture
def at(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("MDE_CACHE", str(folder))
    return folder


def test_the_folder_is_made_for_its_owner_alone(at):
    assert cache.cache_dir() == at
    assert at.stat().st_mode & 0o777 == 0o700


def test_without_the_variable_it_is_the_users_cache_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("MDE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.cache_dir() == tmp_path / "mde-toolchain"


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_folder_that_others_may_write_to_is_refused_with_the_remedy(at, mode):
    at.mkdir()
    at.chmod(mode)
    with pytest.raises(
        MachineError, match=f"other users may write to the cache; make it private and empty it: chmod 700 {at} && "
    ):
        cache.cache_dir()


@pytest.mark.parametrize("kind", cache.KINDS)
def test_a_folder_in_it_that_others_may_write_to_is_refused_with_the_remedy(at, kind):
    cache.folder_of(kind).chmod(0o777)
    with pytest.raises(MachineError, match=f"other users may write to the cache; remove it, .*: rm -r {at / kind}"):
        cache.cache_dir()


def test_a_folder_that_is_not_the_caches_own_may_be_as_it_likes(at):
    (cache.cache_dir() / "project").mkdir()
    (at / "project").chmod(0o777)
    assert cache.cache_dir() == at


@pytest.mark.parametrize("below", [".", "engines"])
def test_a_folder_of_another_user_is_refused(at, monkeypatch, below):
    cache.folder_of("engines")
    theirs = at / below

    def stat(path: Path, stat: Callable[..., os.stat_result] = Path.stat, **options: bool) -> os.stat_result:
        status = stat(path, **options)  # only root can give a folder away
        return os.stat_result((*status[:4], status.st_uid + 1, *status[5:])) if path == theirs else status

    monkeypatch.setattr(Path, "stat", stat)
    with pytest.raises(MachineError, match="belongs to another user"):
        cache.cache_dir()


def test_a_file_in_its_place_is_refused(at):
    at.write_text("")
    with pytest.raises(MachineError, match="cannot hold the cache"):
        cache.cache_dir()


def test_a_record_is_found_under_its_key_alone():
    row = RankedCandidate("onnxruntime-cpu", "fp32", 0.01)
    cache.put_record("rows", {"graph": "a", "device": "b"}, row)
    assert cache.get_record(RankedCandidate, "rows", {"device": "b", "graph": "a"}) == row
    assert cache.get_record(RankedCandidate, "rows", {"graph": "a", "device": "c"}) is None
    assert cache.get_record(RankedCandidate, "others", {"graph": "a", "device": "b"}) is None


ROW, KEY = RankedCandidate("onnxruntime-cpu", "fp32", 0.01), {"graph": "a"}


def put_row() -> None:
    cache.put_record("rows", KEY, ROW)


def get_row() -> object:
    return cache.get_record(RankedCandidate, "rows", KEY)


def put_bytes() -> None:
    cache.put_blob("kernels", KEY, b"compiled")


def get_bytes() -> object:
    found = cache.get_blob("kernels", KEY)
    return None if found is None else found.tobytes()


KINDS_OF_ENTRY = pytest.mark.parametrize(
    ("put", "get", "content"), [(put_row, get_row, ROW), (put_bytes, get_bytes, b"compiled")], ids=["record", "blob"]
)


def as_folder(entry: Path) -> None:
    entry.unlink()
    (entry / "inner").mkdir(parents=True)


def as_link_to_itself(entry: Path) -> None:
    entry.unlink()
    entry.symlink_to(entry.name)


def as_link_to_the_same(entry: Path) -> None:
    moved = entry.rename(entry.parent.parent / "elsewhere")
    entry.symlink_to(moved)


def as_fifo(entry: Path) -> None:
    entry.unlink()
    os.mkfifo(entry)


def with_a_second_name(entry: Path) -> None:
    os.link(entry, entry.parent.parent / "elsewhere")


def given_away(entry: Path) -> None:
    os.chown(entry, 12345, 12345)


def unreadable(entry: Path) -> None:
    entry.chmod(0)


IS_ROOT = os.geteuid() == 0
SPOILT = [
    (as_folder, "is a folder"),
    (as_link_to_itself, "is a link"),
    (as_link_to_the_same, "is a link"),
    (as_fifo, "is a FIFO"),
    (with_a_second_name, "has a second hard link"),
    (lambda entry: entry.chmod(0o620), "other users may write to it"),
    # only root can give a file away, and root may read all
    (given_away, "belongs to another user") if IS_ROOT else (unreadable, "Permission denied"),
]


@KINDS_OF_ENTRY
@pytest.mark.parametrize(("spoil", "reason"), SPOILT)
def test_an_entry_that_cannot_be_believed_or_read_counts_as_none_is_named_once_and_made_again(
    at, put, get, content, spoil, reason
):
    put()
    (entry,) = (path for path in at.glob("*/*"))
    spoil(entry)
    assert (get(), get()) == (None, None)
    (line,) = (line for line in cache.take_ignored() if str(at) in line)
    assert line == f"{entry}: {reason}; ignored, and will be rebuilt"
    assert cache.take_ignored() == ()
    put()
    assert get() == content
    assert (entry.is_symlink(), entry.is_file(), entry.stat().st_mode & 0o777) == (False, True, 0o600)


@KINDS_OF_ENTRY
def test_an_entry_that_was_renamed_counts_as_none(at, put, get, content):
    put()
    assert get() == content
    (entry,) = at.glob("*/*")
    cache.put_record("rows", {"graph": "b"}, ROW)
    cache.put_blob("kernels", {"graph": "b"}, b"of another")
    (other,) = (path for path in entry.parent.iterdir() if path != entry)
    other.replace(entry)
    assert get() is None
    assert any(str(entry) in line for line in cache.take_ignored())


@pytest.mark.parametrize("umask", [0, 0o002, 0o077])
def test_an_entry_is_its_owners_alone_whatever_the_umask(umask):
    before = os.umask(umask)
    try:
        put_row()
        put_bytes()
    finally:
        os.umask(before)
    assert (get_row(), get_bytes()) == (ROW, b"compiled")


@pytest.mark.parametrize("damage", [b"", b"{", b'{"backend": "x"}', b"\xff"])
def test_a_damaged_record_counts_as_none_and_is_written_anew(at, damage):
    row = RankedCandidate("onnxruntime-cpu", "fp32", 0.01)
    cache.put_record("rows", {"graph": "a"}, row)
    (path,) = (at / "rows").iterdir()
    path.write_bytes(damage)
    assert cache.get_record(RankedCandidate, "rows", {"graph": "a"}) is None
    cache.put_record("rows", {"graph": "a"}, row)
    assert cache.get_record(RankedCandidate, "rows", {"graph": "a"}) == row


def test_a_full_disk_is_said_with_the_remedy_and_leaves_nothing(at, monkeypatch):
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        MachineError, match=r"cannot be written to \(No space left on device\); free some space, or set MDE_CACHE"
    ):
        cache.put_blob("kernels", {"graph": "a"}, b"x" * 100)
    assert list((at / "kernels").iterdir()) == []


def test_a_blob_is_given_back_and_a_damaged_one_is_none(at):
    cache.put_blob("kernels", {"graph": "a"}, b"compiled")
    assert cache.get_blob("kernels", {"graph": "a"}).tobytes() == b"compiled"
    assert cache.get_blob("kernels", {"graph": "b"}) is None
    (path,) = (at / "kernels").iterdir()
    path.write_bytes(path.read_bytes()[:-1])
    assert cache.get_blob("kernels", {"graph": "a"}) is None


def test_a_blob_that_was_used_is_not_among_the_unused(at):
    for graph in ("used", "forgotten"):
        cache.put_blob("kernels", {"graph": graph}, graph.encode())
    for path in (at / "kernels").iterdir():
        os.utime(path, (0, 0))
    cache.get_blob("kernels", {"graph": "used"})
    (unused,) = cache.unused_blobs(30)
    assert unused.read_bytes().endswith(b"forgotten")


@pytest.mark.parametrize("options", [(), ("--all",)])
@pytest.mark.parametrize("kind", ["engines", "frames", "kernels", "openvino", "rankings", "verifications"])
def test_prune_removes_what_interrupted_writers_of_every_kind_left(at, command, kind, options):
    cache.put_blob(kind, {"graph": "a"}, b"whole")
    folder = at / kind
    for name in (".left-behind.blob", ".being-written.blob"):
        (folder / name).write_bytes(b"half")
    os.utime(folder / ".left-behind.blob", (0, 0))
    ended = command(main, "cache", "prune", *options)
    assert str(folder / ".left-behind.blob") in ended.stdout.split()
    assert not (folder / ".left-behind.blob").exists()
    assert (folder / ".being-written.blob").exists()


@pytest.mark.parametrize("options", [(), ("--all",)])
def test_prune_leaves_what_is_not_the_caches_own(at, command, options):
    cache.put_blob("kernels", {"graph": "a"}, b"whole")
    (at / "project" / ".git").mkdir(parents=True)
    for path in (at / "project" / ".env", at / "notes.txt"):
        path.write_text("mine")
        os.utime(path, (0, 0))
    assert command(main, "cache", "prune", *options).exit_code == 0
    assert (at / "project" / ".env").exists()
    assert (at / "notes.txt").exists()


def test_a_ranking_is_kept_fastest_first():
    slow, fast = RankedCandidate("onnxruntime-cpu", "fp32", 0.02), RankedCandidate("onnxruntime-cpu", "fp16", 0.01)
    cache.put_ranking("0" * 64, (slow, fast))
    ranking = cache.get_ranking("0" * 64)
    assert isinstance(ranking, Ranking)
    assert ranking.fastest_first == (fast, slow)
    assert cache.get_ranking("1" * 64) is None
