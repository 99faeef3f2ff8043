import errno
import os

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
    with pytest.raises(MachineError, match=f"others may write to the cache; close it: chmod 700 {at}"):
        cache.cache_dir()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_refused(at):
    at.mkdir(mode=0o700)
    os.chown(at, 12345, 12345)
    with pytest.raises(MachineError, match="belongs to another user"):
        cache.cache_dir()


def test_a_file_in_its_place_is_refused(at):
    at.write_text("")
    with pytest.raises(MachineError, match="no cache folder can be there"):
        cache.cache_dir()


def test_a_record_is_found_under_its_key_alone():
    row = RankedCandidate("onnxruntime-cpu", "fp32", 0.01)
    cache.put_record("rows", {"graph": "a", "device": "b"}, row)
    assert cache.get_record(RankedCandidate, "rows", {"device": "b", "graph": "a"}) == row
    assert cache.get_record(RankedCandidate, "rows", {"graph": "a", "device": "c"}) is None
    assert cache.get_record(RankedCandidate, "others", {"graph": "a", "device": "b"}) is None


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
