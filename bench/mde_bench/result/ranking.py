"""What `DepthEstimator.open` goes by when it is to choose: the order in which this machine's candidates finished."""

from mde_bench.result.result import Result
from mde_runtime.backends import BACKENDS
from mde_runtime.cache import RankedCandidate, put_ranking


def keep_ranking(result: Result) -> None:
    """Keep the measured order of a result's candidates in this machine's cache."""
    candidates = tuple(
        RankedCandidate(row.backend, row.precision, row.speed.end_to_end.p50_s)
        for row in result.rows
        if row.backend in BACKENDS and row.speed and not row.failure and not row.parity_breaches
    )
    put_ranking(result.judged.fp32_sha256, candidates)
