"""Candidates that behave as badly as they are told to, and runs that are over soon."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from mde_bench.accuracy.frames import Excerpt
from mde_bench.plan import Plan, plan_run
from mde_bench.timing.candidates import Candidate
from mde_bench.timing.interleave import Effort
from mde_runtime.backends import BACKENDS


@pytest.fixture
def badly(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Candidate]:
    """A function that makes a candidate of `subjects_for_tests`: by behaviour, with its options."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))

    def make(behaviour: str, **options: str | int) -> Candidate:
        return Candidate(behaviour, "test", "fp32", f"subjects_for_tests:{behaviour}", options)

    return make


@pytest.fixture(autouse=True)
def _two_backends(monkeypatch: pytest.MonkeyPatch) -> None:
    """One backend that is here and one that is not: every further one costs each test two processes."""
    for name in set(BACKENDS) - {"onnxruntime-cpu", "onnxruntime-cuda"}:
        monkeypatch.delitem(BACKENDS, name)


BRIEF = Effort(num_rounds=4, block_s=0.002, min_calls=2, max_windows=1, max_warm_up_s=0.05)


@pytest.fixture
def tiny_plan(tiny_bundle: Path, tiny_data: Path) -> Callable[..., Plan]:
    """A function that plans a brief run of candidates over the tiny data's eight frames."""

    def plan(*candidates: Candidate, call_timeout_s: float = 20) -> Plan:
        planned = plan_run(tiny_bundle, None, Excerpt(tiny_data, None, 8), "seed", 1, BRIEF)
        return dataclasses.replace(planned, candidates=candidates, call_timeout_s=call_timeout_s)

    return plan
