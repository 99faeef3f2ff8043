"""Candidates that behave as badly as they are told to, and runs that are over soon."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from mde_bench.accuracy.frames import Excerpt
from mde_bench.plan import Plan, plan_run
from mde_bench.timing.candidates import Candidate
from mde_bench.timing.effort import EFFORTS, Rounds


@pytest.fixture
def badly(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Candidate]:
    """A function that makes a candidate of `subjects_for_tests`: by behaviour, with its options."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))

    def make(behaviour: str, **options: str | int) -> Candidate:
        return Candidate(behaviour, "test", "fp32", f"subjects_for_tests:{behaviour}", options)

    return make


BRIEF = EFFORTS["brief"]


@pytest.fixture
def tiny_plan(tiny_bundle: Path, tiny_data: Path) -> Callable[..., Plan]:
    """A function that plans a brief run of candidates over the tiny data's eight frames."""

    def plan(*candidates: Candidate, call_timeout_s: float = 20, rounds: Rounds = BRIEF.rounds) -> Plan:
        effort = dataclasses.replace(BRIEF, rounds=rounds)
        planned = plan_run(tiny_bundle, None, Excerpt(tiny_data, None, 8), "seed", 1, effort)
        return dataclasses.replace(planned, candidates=candidates, call_timeout_s=call_timeout_s)

    return plan
