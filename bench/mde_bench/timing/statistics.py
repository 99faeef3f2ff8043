"""Figures of latency samples, with intervals that know that neighbouring samples are alike.

A percentile is nearest-rank: the smallest sample that at least that share of the samples does not exceed, so it is a
latency that did occur. Intervals are 95 % percentile bootstraps whose blocks are whole rounds: the calls of one round
share the state of the machine, and resampling single calls would give intervals that are far too narrow.
Sources: Efron and Tibshirani, An Introduction to the Bootstrap, 1993; Kuensch, Annals of Statistics 1989 (blocks);
Wilcoxon, Biometrics Bulletin 1945, and Hodges and Lehmann, Annals of Mathematical Statistics 1963 (signed ranks).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

NUM_RESAMPLES = 2000  # the ends of a 95 % interval then rest on 50 resamples each
CONFIDENCE = 0.95
# Where a process lands in memory moves its speed for as long as it lives, which no round of it can see. Over 20
# launches of two backends on one machine the ratio of their processor times varied by 1.1 % (standard deviation).
LAUNCH_SHARE = 0.011


@dataclass(frozen=True)
class Interval:
    """The 95 % interval of a figure, in the figure's unit."""

    low: float
    high: float

    @property
    def width(self) -> float:
        """From low to high."""
        return self.high - self.low


@dataclass(frozen=True)
class Latency:
    """The figures of one column of samples, in seconds."""

    num_samples: int
    mean_s: float
    std_s: float
    min_s: float
    p50_s: float
    p90_s: float
    p95_s: float
    p99_s: float
    max_s: float
    p50_interval_s: Interval
    p99_interval_s: Interval


@dataclass(frozen=True)
class Ratio:
    """How many times as long the one took as the other, by the median, from rounds that both ran in."""

    value: float
    interval: Interval


def percentile(values: Sequence[int] | Ints, share: float) -> float:
    """The nearest-rank percentile of the values; share 0.5 is the median."""
    return float(np.quantile(np.asarray(values), share, method="inverted_cdf"))


def latency(values_ns: Sequence[int] | Ints, rounds: Sequence[int], rng: np.random.Generator) -> Latency:
    """The figures of samples in nanoseconds, each with the number of the round that it was taken in."""
    values = np.asarray(values_ns, np.int64)
    shares = _resampled_percentiles(values, np.asarray(rounds), (0.5, 0.99), _resample_rounds(rounds, rng))
    return Latency(
        num_samples=len(values),
        mean_s=float(values.mean()) / 1e9,
        std_s=float(values.std(ddof=1)) / 1e9 if len(values) > 1 else 0.0,
        min_s=float(values.min()) / 1e9,
        p50_s=percentile(values, 0.5) / 1e9,
        p90_s=percentile(values, 0.9) / 1e9,
        p95_s=percentile(values, 0.95) / 1e9,
        p99_s=percentile(values, 0.99) / 1e9,
        max_s=float(values.max()) / 1e9,
        p50_interval_s=interval(shares[0] / 1e9),
        p99_interval_s=interval(shares[1] / 1e9),
    )


def ratio(
    numerator: tuple[Sequence[int], Sequence[int]],
    denominator: tuple[Sequence[int], Sequence[int]],
    rng: np.random.Generator,
) -> Ratio:
    """The ratio of two medians; each side is (values, rounds), and both were measured in the same rounds.

    The same rounds are drawn for both sides, so what slowed both down in a round cancels out. The interval is that of
    a ratio that another launch of both would give.
    """
    weights = _resample_rounds((*numerator[1], *denominator[1]), rng)
    medians = [
        _resampled_percentiles(np.asarray(values, np.int64), np.asarray(rounds), (0.5,), weights)[0]
        for values, rounds in (numerator, denominator)
    ]
    value = percentile(numerator[0], 0.5) / percentile(denominator[0], 0.5)
    return Ratio(value, over_launches(value, interval(medians[0] / medians[1])))


def over_launches(value: float, within: Interval) -> Interval:
    """The interval of a ratio from one launch, widened by what launches differ in."""
    spread = 2 * LAUNCH_SHARE * value
    return Interval(value - math.hypot(value - within.low, spread), value + math.hypot(within.high - value, spread))


def interval(resampled: Floats) -> Interval:
    """The middle 95 % of resampled figures."""
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(resampled, (tail, 1 - tail))
    return Interval(float(low), float(high))


def signed_ranks(values: Floats, level: float) -> tuple[float, Interval]:
    """The centre of values that scatter alike to both sides of it, and its interval at confidence 1 - level or above.

    Hodges and Lehmann's estimate with Wilcoxon's interval: exact whatever the values' distribution, so that single
    wild ones neither move it nor widen it much. The interval is infinite where there are too few values for the level.
    """
    first, second = np.triu_indices(len(values))
    averages = np.sort((values[first] + values[second]) / 2)
    num_cut = _num_cut(len(values), level)  # from each end
    ends = (averages[num_cut - 1], averages[-num_cut]) if num_cut else (-math.inf, math.inf)
    return float(np.median(averages)), Interval(float(ends[0]), float(ends[1]))


def _num_cut(num_values: int, level: float) -> int:
    """How many rank sums, from 0 on, are so small that both tails of them together are no likelier than the level."""
    num_ways = np.ones(1)  # in which signs give each sum of ranks
    for rank in range(1, num_values + 1):
        num_ways = np.pad(num_ways, (0, rank)) + np.pad(num_ways, (rank, 0))
    return int(np.searchsorted(np.cumsum(num_ways) / 2.0**num_values, level / 2, side="right"))


def _resample_rounds(rounds: Sequence[int], rng: np.random.Generator) -> Ints:
    """How often each round is drawn in each resample: (NUM_RESAMPLES, highest round + 1)."""
    numbers = np.unique(np.asarray(rounds))
    draws = rng.multinomial(len(numbers), np.full(len(numbers), 1 / len(numbers)), size=NUM_RESAMPLES)
    weights = np.zeros((NUM_RESAMPLES, int(numbers.max()) + 1), np.int64)
    weights[:, numbers] = draws
    return weights


def _resampled_percentiles(values: Ints, rounds: Ints, shares: Sequence[float], weights: Ints) -> list[Floats]:
    """Nearest-rank percentiles of every resample, from the samples sorted once and weighted by their round's draws."""
    order = np.argsort(values, kind="stable")
    in_order, cumulated = values[order], np.cumsum(weights[:, rounds[order]], axis=1)
    totals = cumulated[:, -1:]
    return [in_order[np.argmax(cumulated >= np.ceil(share * totals), axis=1)].astype(np.float64) for share in shares]
