"""The search for mutants that a reader does not take as it promises, and the smallest mutant of each kind of fault."""

import collections
import functools
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import hypothesis
from hypothesis import HealthCheck, Phase, Verbosity

from lab.fuzz.mutants import Mutant, mutants
from lab.fuzz.readers import Reader
from lab.fuzz.watch import Worker
from lab.fuzz.worker import Outcome

A_ROUND = 200  # mutants, after which the clock decides
FOREVER = 1 << 40
OPTIONS = hypothesis.settings(
    phases=(Phase.generate, Phase.shrink),
    database=None,  # the seed alone decides
    deadline=None,
    print_blob=True,
    verbosity=Verbosity.quiet,
    suppress_health_check=list(HealthCheck),
)


class FaultError(Exception):
    """A mutant that a reader does not take as it promises."""

    kind: tuple[str, str]  # of the outcome, and its place


@dataclass
class Finding:
    """A kind of fault, and the smallest mutant that shows it."""

    outcome: Outcome
    mutant: Mutant
    again: str = ""  # hypothesis on how to draw it again


@dataclass
class Findings:
    """What became of a reader's mutants."""

    counts: collections.Counter[str] = field(default_factory=collections.Counter)
    found: dict[tuple[str, str], Finding] = field(default_factory=dict)  # by the outcome's kind and place


def search(reader: Reader, seed: int, num_mutants: int = FOREVER, seconds: float = float("inf")) -> Findings:
    """Give a reader mutants until there were so many, or until the time is over; the same ones for the same seed."""
    findings, until_s = Findings(), time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as folder:
        seeds = list(reader.seeds(Path(folder)))
    with Worker(reader, seeds[0]) as worker:
        for start in range(0, num_mutants, A_ROUND):
            if time.monotonic() > until_s:
                break
            options = hypothesis.settings(OPTIONS, max_examples=min(A_ROUND, num_mutants - start))
            examine = hypothesis.given(mutants(seeds, reader.edits))(_examination(worker, findings, until_s))
            _run(hypothesis.seed(f"{seed} {start}")(options(examine)), findings)
    return findings


def _examination(worker: Worker, findings: Findings, until_s: float) -> Callable[[Mutant], None]:
    """A round's test of a mutant. Kinds of faults that earlier rounds found are counted and passed over."""
    known = set(findings.found)

    def examine(mutant: Mutant) -> None:
        is_searching = findings.found.keys() == known  # else hypothesis makes what it found smaller
        if is_searching and time.monotonic() > until_s:
            return
        outcome = worker.outcome(mutant.content)
        findings.counts[outcome.kind] += 1
        kind = (outcome.kind, outcome.place)
        if not outcome.is_fine and kind not in known:
            findings.found[kind] = Finding(outcome, mutant)  # the last of a kind is the smallest
            raise _class_of(kind)(outcome.words)

    return examine


@functools.cache
def _class_of(kind: tuple[str, str]) -> type[FaultError]:
    """A class for each kind of fault: by that hypothesis tells them apart, and makes each as small as can be."""
    return type("FaultError", (FaultError,), {"kind": kind})


def _run(examine: Callable[[], None], findings: Findings) -> None:
    """Run a round, and keep with its findings how to draw them again."""
    try:
        examine()
    except Exception as error:
        faults = [fault for fault in getattr(error, "exceptions", (error,)) if isinstance(fault, FaultError)]
        if not faults:  # the fuzzing itself is at fault
            raise
        for fault in faults:
            findings.found[fault.kind].again = "\n".join(getattr(fault, "__notes__", ())).strip()


def keep(reader: Reader, name: str, findings: Findings, folder: Path) -> list[Path]:
    """Write each finding's file, and a text beside it: what is wrong, the edits, and how to draw it again."""
    files = []
    for number, finding in enumerate(findings.found.values()):
        file = folder / f"{name}-{number}{Path(reader.name).suffix}"
        folder.mkdir(parents=True, exist_ok=True)
        file.write_bytes(finding.mutant.content)
        outcome, mutant = finding.outcome, finding.mutant
        lines = (f"{outcome.kind}: {outcome.words}", outcome.place, repr(mutant), finding.again)
        file.with_suffix(".txt").write_text("\n".join(filter(None, lines)) + "\n", "utf-8", "backslashreplace")
        files.append(file)
    return files
