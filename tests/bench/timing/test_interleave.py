import dataclasses
import itertools

import numpy as np
import pytest

from mde_bench.timing.effort import EFFORTS, Rounds
from mde_bench.timing.interleave import Window, measure_in_turns, unsettled_because
from mde_bench.timing.samples import Call, Samples
from mde_bench.timing.worker import CandidateError

ROUNDS = Rounds(num_rounds=9, block_s=0, min_calls=3, max_windows=3, max_warm_up_s=1)


class Clock:
    """Time that passes only where somebody sleeps."""

    def __init__(self):
        self._now_s = 0.0

    def monotonic(self):
        return self._now_s

    def sleep(self, seconds):
        self._now_s += seconds


def measure(candidates, rounds=ROUNDS):
    return measure_in_turns(candidates, rounds, rng(), clock=Clock())


class Scripted:
    """A candidate whose n-th block takes as long as `wall_ms` says; it writes its turns down in `log`."""

    def __init__(self, name, wall_ms, log=None):
        self._name, self._wall_ms, self._log = name, iter(wall_ms), [] if log is None else log

    def block(self, seconds, min_calls):  # noqa: ARG002  time does not pass here
        self._log.append(self._name)
        wall_ms = next(self._wall_ms)
        if wall_ms is None:
            raise CandidateError("gave up")
        return [Call(int(wall_ms * 1e6) + i, int(wall_ms * 9e5), 0, 0) for i in range(min_calls)]


def rng():
    return np.random.default_rng(3)


def steady(wall_ms=10.0):
    return itertools.repeat(wall_ms)


def test_every_candidate_has_one_block_a_round():
    log = []
    measure({name: Scripted(name, steady(), log) for name in "abc"})
    rounds = [log[start : start + 3] for start in range(len(log) - 9 * 3, len(log), 3)]
    assert all(sorted(turns) == ["a", "b", "c"] for turns in rounds)


def test_no_candidate_always_follows_the_same_one():
    log = []
    measure({name: Scripted(name, steady(), log) for name in "abc"})
    assert len({tuple(log[start : start + 3]) for start in range(len(log) - 9 * 3, len(log), 3)}) > 2


def test_warm_up_goes_on_while_blocks_get_faster_and_is_not_counted():
    falling = itertools.chain([40.0, 30.0, 20.0, 10.0], steady())
    window = measure({"a": Scripted("a", falling)})
    assert max(window.samples["a"].wall_ns) < 11e6


def test_a_window_that_drifted_is_measured_again():
    drifting = itertools.chain(steady_for(2), [10.0] * 4 + [15.0] * 5, steady(15.0))
    window = measure({"a": Scripted("a", drifting)})
    assert (window.num_discarded, window.unsettled) == (1, {})
    assert min(window.samples["a"].wall_ns) >= 15e6


def test_a_candidate_that_never_settles_is_named():
    window = measure({"a": Scripted("a", itertools.count(1.0)), "b": Scripted("b", steady())})
    assert window.num_discarded == ROUNDS.max_windows - 1
    assert list(window.unsettled) == ["a"]
    assert "moved by" in window.unsettled["a"]


def test_a_candidate_that_fails_half_way_costs_only_its_own_row():
    window = measure({"a": Scripted("a", [10.0] * 5 + [None]), "b": Scripted("b", steady())})
    assert window.failures == {"a": "gave up"}
    assert list(window.samples) == ["b"]
    assert len(window.samples["b"].wall_ns) == 9 * 3


def test_samples_that_jump_between_two_levels_are_no_measurement():
    wall_ns = tuple(int(1e7) if number % 2 else int(2e7) for number in range(24))
    samples = Samples(tuple(range(24)), wall_ns, wall_ns, wall_ns, (0,) * 24)
    assert "wide" in (unsettled_because(samples, ROUNDS.settled_share, rng()) or "")


def test_when_time_is_up_what_was_measured_is_kept_and_called_too_little():
    hurried = dataclasses.replace(ROUNDS, max_s=0.01, min_rounds=4)
    window = measure({"a": Scripted("a", steady())}, hurried)
    assert set(window.samples["a"].round) == {0, 1, 2, 3}
    assert window.unsettled == {"a": "time ran out after 4 of 9 rounds"}


def test_what_counts_as_settled_is_the_same_at_every_effort():
    assert {effort.rounds.settled_share for effort in EFFORTS.values()} == {0.10}


def test_at_every_effort_one_window_is_enough_for_an_interval():
    assert all(effort.rounds.num_rounds >= effort.rounds.min_rounds for effort in EFFORTS.values())


@pytest.mark.parametrize("num_rounds", [3, 25])
def test_steady_samples_are_a_measurement(num_rounds):
    wall_ns = (int(1e7),) * num_rounds
    samples = Samples(tuple(range(num_rounds)), wall_ns, wall_ns, wall_ns, (0,) * num_rounds)
    assert unsettled_because(samples, ROUNDS.settled_share, rng()) is None


def steady_for(num_blocks):
    return [10.0] * num_blocks


def test_candidates_with_the_same_problem_are_named_together():
    problems = {"a": "time ran out", "b": "its median moved by 15%", "c": "time ran out"}
    assert Window({}, {}, problems, 0).reasons == ("a, c: time ran out", "b: its median moved by 15%")
    assert Window({}, {}, {}, 0).reasons == ()
