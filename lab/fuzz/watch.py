"""A worker and its watch: a worker that crashes or hangs costs one mutant, and a new one goes on."""

import contextlib
import multiprocessing
import tempfile
from pathlib import Path

from lab.fuzz.readers import Reader
from lab.fuzz.worker import Outcome, serve

HANGS_S = 60.0  # on a busy machine; a sound file takes milliseconds
STARTS_S = 300.0  # with torch to import


class Worker:
    """A reader in a process of its own, which is started again after it crashed or hung."""

    def __init__(self, reader: Reader, sound: bytes):
        """sound: a file to read first, so that all libraries are loaded when memory is limited."""
        self._reader, self._sound = reader, sound
        self._left = contextlib.ExitStack()
        self._folder = Path(self._left.enter_context(tempfile.TemporaryDirectory()))
        self._reader.prepare(self._folder)
        self._path = self._folder / reader.name
        self._start()

    def outcome(self, content: bytes) -> Outcome:
        """What becomes of a file of this content."""
        self._path.write_bytes(content)
        try:
            self._ours.send(None)
            if self._ours.poll(HANGS_S):
                found: Outcome = self._ours.recv()
                return found
            found = Outcome("hung", "", f"no answer within {HANGS_S:g} s")
        except (EOFError, OSError):
            self._process.join()
            found = Outcome("crashed", f"exit {self._process.exitcode}", f"the process ended: {self._process.exitcode}")
        self._stop()
        self._start()
        return found

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
        self._left.close()

    def _start(self) -> None:
        self._path.write_bytes(self._sound)
        context = multiprocessing.get_context("spawn")  # a fork would have this process's threads half
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(self._reader.read, self._path, theirs), daemon=True)
        self._process.start()
        theirs.close()
        if not self._ours.poll(STARTS_S):
            raise RuntimeError(f"the worker of {self._reader.name} does not start")
        self._ours.recv()

    def _stop(self) -> None:
        self._process.kill()
        self._process.join()
        self._ours.close()
