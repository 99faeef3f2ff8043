"""Memory and preemptions of a process, by its system's own count, and absent where there is none."""

import json
import subprocess
import sys

from mde_bench.timing import usage
from mde_bench.timing.samples import Call, Samples

PAGES_BYTES = 256 << 20


def test_memory_that_was_used_is_counted():
    asked = f"from mde_bench.timing import usage; x = b'1' * {PAGES_BYTES}; print(usage.peak_memory_bytes())"
    said = subprocess.run([sys.executable, "-c", asked], stdout=subprocess.PIPE, check=True).stdout
    assert PAGES_BYTES < int(said) < 8 * PAGES_BYTES  # bytes, and no KiB
    assert usage.num_preemptions() >= 0


def test_the_memory_of_who_started_a_process_is_not_its_own():
    child = "from mde_bench.timing import usage; print(usage.peak_memory_bytes())"
    parent = f"import subprocess, sys; x = b'1' * {PAGES_BYTES}; subprocess.run([sys.executable, '-c', {child!r}])"
    said = subprocess.run([sys.executable, "-c", parent], stdout=subprocess.PIPE, check=True).stdout
    assert 0 < int(said) < PAGES_BYTES


def test_where_the_system_does_not_count_the_bench_starts_and_the_figures_are_absent():
    asked = """
import sys
sys.modules["resource"] = None  # as on Windows
import json, mde_bench.cli, mde_bench.run
from mde_bench.timing import usage
print(json.dumps([usage.peak_memory_bytes(), usage.num_preemptions()]))"""
    said = subprocess.run([sys.executable, "-c", asked], stdout=subprocess.PIPE, check=True).stdout
    assert json.loads(said) == [None, None]


def test_the_share_of_preempted_calls_is_of_all_calls_or_absent():
    def samples(*counts):
        return Samples.of([[Call(2, 1, 1, count) for count in counts]])

    assert samples(0, 3, 0, 1).preempted_share == 0.5
    assert samples(None, None).preempted_share is None
    assert samples(None, None).num_preemptions is None
