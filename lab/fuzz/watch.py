"""Workers and what becomes of their mutants: a worker that crashes or hangs costs one mutant, and the next goes on."""

import collections
import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

HANGS_S = 60.0  # on a busy machine, after which a mutant hangs; a sound file takes milliseconds
FOREVER = 1 << 40


@dataclass
class Findings:
    """What became of a reader's mutants."""

    counts: collections.Counter[str] = field(default_factory=collections.Counter)
    found: list[tuple[int, str, str]] = field(default_factory=list)  # number, outcome, words; of what is to be mended

    def add(self, number: int, outcome: str, words: str) -> None:
        """Count a mutant."""
        self.counts[outcome] += 1
        if outcome not in ("read", "refused"):
            self.found.append((number, outcome, words))


def watch(reader: str, seed: int, first: int = 0, last: int = FOREVER, seconds: float = float("inf")) -> Findings:
    """Read a reader's mutants until the last, or until the time is over."""
    findings, until_s = Findings(), time.monotonic() + seconds
    while first < last and time.monotonic() < until_s:
        number = first - 1
        for number, outcome, words in _outcomes(reader, seed, first, last, until_s):
            findings.add(number, outcome, words)
        first = number + 1
    return findings


def _outcomes(reader: str, seed: int, first: int, last: int, until_s: float) -> Iterator[tuple[int, str, str]]:
    """The outcomes of one worker's life."""
    call = [sys.executable, "-m", "lab.fuzz.worker", reader, str(seed), str(first), str(last)]
    worker = subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    lines: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_pass_on, args=(worker, lines), daemon=True).start()
    at: int | None = None
    try:
        while time.monotonic() < until_s:
            try:
                line = lines.get(timeout=HANGS_S)
            except queue.Empty:
                yield first if at is None else at, "hung", f"no answer within {HANGS_S:g} s"
                return
            if not line:
                code = worker.wait()
                if code:
                    yield first if at is None else at, "crashed", f"the process ended with {code}"
                return
            said = json.loads(line)
            if len(said) == 1:
                at = said[0]
            elif at is not None:
                yield at, *said
    finally:
        worker.kill()
        worker.wait()


def _pass_on(worker: "subprocess.Popen[str]", lines: "queue.Queue[str]") -> None:
    """Every line of a worker, and an empty one at its end."""
    for line in worker.stdout or ():
        lines.put(line)
    lines.put("")
