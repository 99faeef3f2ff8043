import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mde_bench.timing.effort import EFFORTS
from mde_bench.timing.statistics import latency, percentile, ratio, signed_ranks


def rng():
    return np.random.default_rng(1)


def rounds_of(num_rounds, num_calls):
    return np.repeat(np.arange(num_rounds), num_calls).tolist()


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=60), st.sampled_from([0.5, 0.9, 0.99]))
def test_a_percentile_is_a_sample_that_enough_samples_do_not_exceed(values, share):
    found = percentile(values, share)
    assert found in values
    assert np.mean(np.asarray(values) <= found) >= share
    assert np.mean(np.asarray(values) < found) < share


def test_figures_are_those_of_the_samples_in_seconds():
    figures = latency([4_000_000, 1_000_000, 3_000_000, 2_000_000], [0, 0, 1, 1], rng())
    assert (figures.num_samples, figures.min_s, figures.max_s, figures.mean_s) == (4, 0.001, 0.004, 0.0025)
    assert (figures.p50_s, figures.p90_s, figures.p99_s) == (0.002, 0.004, 0.004)


def test_an_interval_holds_its_figure():
    values = rng().lognormal(16, 0.2, 500).astype(int)
    figures = latency(values, rounds_of(25, 20), rng())
    assert figures.p50_interval_s.low <= figures.p50_s <= figures.p50_interval_s.high


def test_drift_between_rounds_widens_the_interval_though_the_samples_are_the_same():
    values = np.sort(rng().lognormal(16, 0.2, 500).astype(int))
    drifting = latency(values, rounds_of(25, 20), rng()).p50_interval_s
    steady = latency(rng().permutation(values), rounds_of(25, 20), rng()).p50_interval_s
    assert drifting.width > 2 * steady.width


def test_intervals_of_the_median_cover_it_as_often_as_they_say():
    chance, covered = rng(), 0
    for _ in range(60):
        levels = np.repeat(chance.normal(0, 0.02, 25), 20)  # what a round adds: the reason for resampling rounds
        values = (1e7 * np.exp(levels + chance.normal(0, 0.05, 500))).astype(int)
        interval = latency(values, rounds_of(25, 20), chance).p50_interval_s
        covered += interval.low <= 0.01 <= interval.high
    assert covered >= 52  # 95 % of 60 less three standard deviations of the count


def test_what_slows_both_down_cancels_in_their_ratio():
    chance = rng()
    noise_of_rounds = np.repeat(chance.lognormal(0, 0.3, 25), 20)
    fast = (1e7 * noise_of_rounds * chance.lognormal(0, 0.01, 500)).astype(int)
    slow = (2e7 * noise_of_rounds * chance.lognormal(0, 0.01, 500)).astype(int)
    found = ratio((slow, rounds_of(25, 20)), (fast, rounds_of(25, 20)), rng())
    assert found.value == pytest.approx(2, rel=0.05)
    assert found.interval.width < 0.2
    assert found.interval.low <= 2 <= found.interval.high


def test_one_launch_does_not_know_a_ratio_better_than_launches_differ():
    slow, fast = ([2 * 10**7] * 50, rounds_of(25, 2)), ([10**7] * 50, rounds_of(25, 2))
    found = ratio(slow, fast, rng()).interval
    assert (found.low, found.high) == pytest.approx((2 * (1 - 0.022), 2 * (1 + 0.022)))


def test_signed_ranks_give_wilcoxons_interval():
    values = np.array([-2.0, 1, 3, 4, 6, 8, 11, 15])
    centre, interval = signed_ranks(values, 0.05)
    # The tables of the test: of 8 values 3 is the largest sum of ranks with a two-sided probability under 0.05.
    averages = np.sort([(a + b) / 2 for i, a in enumerate(values) for b in values[i:]])
    assert centre == np.median(averages)
    assert (interval.low, interval.high) == (averages[3], averages[-4])


EACH_EFFORT = pytest.mark.parametrize("launches", [each.launches for each in EFFORTS.values()], ids=EFFORTS)


@EACH_EFFORT
def test_a_look_has_enough_launches_for_its_level(launches):
    assert signed_ranks(np.ones(launches.looks[0]), launches.level)[1].low == 1


def test_too_few_values_decide_nothing():
    assert signed_ranks(np.ones(10), 0.001)[1].low == -np.inf
    assert signed_ranks(np.ones(11), 0.001)[1].low == 1


def test_one_wild_value_hardly_moves_the_centre_or_the_interval():
    values = rng().normal(0, 1, 15)
    wild = np.append(values[:-1], 1e6)
    (centre, interval), (moved, widened) = (signed_ranks(v, 0.01) for v in (values, wild))
    assert abs(centre - moved) < 0.5
    assert widened.width < 2 * interval.width


NUM_DRAWS = 300


@EACH_EFFORT
@pytest.mark.parametrize("draw", ["normal", "standard_cauchy"])
def test_equal_bundles_are_called_different_no_more_often_than_the_effort_states(launches, draw):
    ratios = getattr(rng(), draw)(size=(NUM_DRAWS, launches.looks[-1]))
    alarms = [
        any((found := signed_ranks(row[:look], launches.level)[1]).low > 0 or found.high < 0 for look in launches.looks)
        for row in ratios
    ]
    stated = launches.false_alarm_share
    assert np.mean(alarms) <= stated + 3 * np.sqrt(stated / NUM_DRAWS)  # three standard deviations of the count
