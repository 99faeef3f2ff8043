"""Commands write to files and streams; every other place is refused before any work is done."""

import os
import socket
import threading

import pytest

FILES = (
    ("mde-bench", "run", "model.mde", "--data", "data", "--json"),
    ("mde-bench", "run", "model.mde", "--data", "data", "--report"),
    ("mde-bench", "accuracy", "model.mde", "--data", "data", "--json"),
    ("mde-bench", "accuracy", "model.mde", "--data", "data", "--picture"),
    ("mde-bench", "compare", "model.mde", "--against", "old.mde", "--json"),
    ("mde-bundle", "engine", "model.mde", "--save"),
    ("mde-bundle", "engine", "model.mde", "--log"),
)


@pytest.fixture(params=FILES, ids=lambda words: f"{words[1]} {words[-1]}")
def option(request):
    """Each option that names one file to write, after the arguments that its command needs; none of them exists."""
    return request.param


def test_a_folder_where_a_file_is_written_is_refused_before_anything_is_read(option, call, tmp_path):
    done = call(*option, str(tmp_path))
    said = f"{option[0]}: {tmp_path}: is a folder; name a file, in it or elsewhere\n"
    assert (done.returncode, done.stderr) == (3, said)


def test_a_file_that_is_not_there_yet_is_not_what_is_refused(option, call, tmp_path):
    done = call(*option, str(tmp_path / "new.png"))
    assert "new.png" not in done.stderr


@pytest.fixture
def bundle_of(root, call):
    """Make a bundle of the sample for another scale, at a path."""

    def make(path):
        return call("mde-export", str(root / "samples" / "fast.mde"), "--scale", "0.9", "--engine", "none", "-o", path)

    return make


def test_a_socket_where_a_bundle_is_written_is_refused(bundle_of, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a socket's name is at most about a hundred characters
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        done = bundle_of("socket")
    last = done.stderr.strip().splitlines()[-1]
    assert (done.returncode, last) == (3, "mde-export: socket: is a socket, which is never written to; name a file")


@pytest.mark.slow
def test_a_fifo_gets_the_bundle_that_a_file_would_get(bundle_of, tmp_path):
    fifo, got = tmp_path / "fifo", []
    os.mkfifo(fifo)
    reader = threading.Thread(target=lambda: got.append(fifo.read_bytes()))
    reader.start()
    done = bundle_of(str(fifo))
    assert done.returncode == 0, done.stderr
    reader.join()
    assert bundle_of(str(tmp_path / "fifo.mde")).returncode == 0
    assert got == [(tmp_path / "fifo.mde").read_bytes()]
