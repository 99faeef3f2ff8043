"""The ranking that `DepthEstimator.open` chooses by: the order in which this machine's candidates finished."""

from mde_bench.result.result import Result
from mde_bench.result.verdict import is_sound
from mde_runtime.backends import BACKENDS
from mde_runtime.cache import RankedCandidate, put_ranking


def keep_ranking(result: Result, *, is_ranking: bool) -> bool:
    """Keep the measured order of a result's candidates in this machine's cache; whether it was kept.

    Only a valid run of all candidates on the default threads (is_ranking) is, however long it measured.
    """
    if result.invalid_because or not is_ranking:
        return False
    candidates = tuple(
        RankedCandidate(row.backend, row.precision, row.speed.end_to_end.p50_s)
        for row in result.rows
        if row.backend in BACKENDS and row.speed and is_sound(result, row)
    )
    put_ranking(result.judged.fp32_sha256, candidates)
    return True
