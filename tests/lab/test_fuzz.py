"""A short run of the fuzzing, the same each time; `make fuzz` goes on from there."""

from pathlib import Path

import pytest

from lab.fuzz.mutants import BYTES
from lab.fuzz.readers import READERS, Reader
from lab.fuzz.search import keep, search
from lab.fuzz.worker import Outcome, outcome_of

SLOW = {"splits": 4, "mat": 20, "checkpoint": 20, "weights": 20, "bundle": 80}  # mutants; each takes long to read
OTHERS = 300


@pytest.mark.parametrize("name", READERS)
def test_mutants_are_read_rightly_or_refused_by_name(name):
    num_mutants = SLOW.get(name, OTHERS)
    findings = search(READERS[name], seed=0, num_mutants=num_mutants)
    assert findings.found == {}
    assert sum(findings.counts.values()) == num_mutants
    assert findings.counts["refused"] > 0


@pytest.mark.parametrize("name", ["contract", "npy", "depth-png", "picture", "nyu-csv", "kitti", "points"])
def test_a_sound_file_of_the_corpus_is_read(name, tmp_path):
    reader = READERS[name]
    seeds = reader.seeds(tmp_path)
    reader.prepare(tmp_path)
    (tmp_path / reader.name).write_bytes(seeds[0])
    assert outcome_of(reader.read, tmp_path / reader.name) == Outcome("read")


@pytest.fixture
def toys(monkeypatch):
    """Readers with faults."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    import toy_readers

    def findings_of(name, num_mutants=400):
        reader = Reader("file.toy", lambda _: [b"toy\x07", b"toy12"], BYTES, getattr(toy_readers, name))
        return reader, search(reader, seed=0, num_mutants=num_mutants)

    return findings_of


def test_a_planted_fault_is_found_made_small_and_kept_with_its_edits(toys, tmp_path):
    reader, findings = toys("divides")
    (finding,) = findings.found.values()
    assert finding.outcome.words == "ZeroDivisionError: division by zero"
    assert finding.mutant.content == b"toy\x00"  # the second seed, or a longer file, is not the smallest
    assert len(finding.mutant.edits) == 1
    (file,) = keep(reader, "toy", findings, tmp_path)
    assert file.read_bytes() == b"toy\x00"
    text = file.with_suffix(".txt").read_text()
    assert repr(finding.mutant.edits[0]) in text
    assert "reproduce_failure" in text


def test_a_crash_of_the_process_is_found_and_made_small_as_well(toys):
    _, findings = toys("ends_the_process", num_mutants=60)  # each crash starts a process
    (finding,) = findings.found.values()
    assert finding.outcome.kind == "crashed"
    assert len(finding.mutant.edits) == 1


def test_two_faults_of_one_reader_are_two_findings(toys):
    _, findings = toys("has_two_faults")
    words = sorted(finding.outcome.words for finding in findings.found.values())
    assert words == ["KeyError: 'long'", "ZeroDivisionError: high"]


def test_a_reader_without_a_fault_gives_no_finding(toys):
    _, findings = toys("reads_all")
    assert findings.found == {}
    assert set(findings.counts) == {"read"}
