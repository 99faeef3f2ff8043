"""A short run of the fuzzing, the same each time; `make fuzz` goes on from there."""

import collections

import pytest

from lab.fuzz.readers import READERS, Reader
from lab.fuzz.watch import watch
from lab.fuzz.worker import content_of, outcome_of

SLOW = {
    "splits": 4,
    "mat": 20,
    "checkpoint": 20,
    "weights": 20,
    "bundle": 80,
}  # mutants; a reader's process takes long to start
OTHERS = 300


@pytest.mark.parametrize("name", READERS)
def test_mutants_are_read_rightly_or_refused_by_name(name):
    findings = watch(name, seed=0, last=SLOW.get(name, OTHERS))
    assert findings.found == []
    assert sum(findings.counts.values()) == SLOW.get(name, OTHERS)
    assert findings.counts["refused"] > 0


@pytest.mark.parametrize("name", ["contract", "npy", "depth-png", "picture", "nyu-csv", "kitti", "points"])
def test_a_sound_file_of_the_corpus_is_read(name, tmp_path):
    reader = READERS[name]
    seeds = reader.seeds(tmp_path)
    reader.prepare(tmp_path)
    (tmp_path / reader.name).write_bytes(seeds[0])
    assert outcome_of(reader.read, tmp_path / reader.name) == ("read", "")


def failing(path):
    if path.read_bytes().startswith(b"a"):
        raise ZeroDivisionError("of ours")


def test_an_exception_that_is_none_of_ours_is_a_finding(tmp_path):
    reader = Reader("text", lambda _: [b"abc", b"bcd"], (), failing)
    counts = collections.Counter()
    for number in range(50):
        (tmp_path / "text").write_bytes(content_of(reader, [b"abc", b"bcd"], 0, number))
        counts[outcome_of(reader.read, tmp_path / "text")] += 1
    assert set(counts) == {("read", ""), ("crashed", "ZeroDivisionError: of ours")}
