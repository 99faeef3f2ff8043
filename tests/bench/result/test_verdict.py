"""Advice of a result: INT8 costs accuracy, so it must be faster than what does not."""

import dataclasses

import pytest

from mde_bench.report.table import problems_of
from mde_bench.run import carry_out
from mde_bench.timing.statistics import Interval


@pytest.fixture
def result(tiny_plan, badly):
    """Two candidates of one backend, in FP32 and in INT8, and one of another backend."""
    fp32, int8, other = badly("steady"), badly("steady"), badly("steady")
    candidates = (
        dataclasses.replace(fp32, name="one fp32", backend="one", precision="fp32"),
        dataclasses.replace(int8, name="one int8", backend="one", precision="int8"),
        dataclasses.replace(other, name="other fp32", backend="other", precision="fp32"),
    )
    return carry_out(tiny_plan(*candidates)).result


def with_times(result, **milliseconds: tuple[float, float]):
    """The result with other medians, each half way between its interval's ends."""
    rows = []
    for row, (low, high) in zip(result.rows, milliseconds.values(), strict=True):
        times = dataclasses.replace(
            row.speed.end_to_end, p50_s=(low + high) / 2e3, p50_interval_s=Interval(low / 1e3, high / 1e3)
        )
        rows.append(dataclasses.replace(row, speed=dataclasses.replace(row.speed, end_to_end=times)))
    return dataclasses.replace(result, rows=tuple(rows))


@pytest.mark.parametrize(
    ("fp32", "int8", "is_useless"), [((9, 11), (4, 5), False), ((9, 11), (8, 9.5), True), ((9, 11), (19, 21), True)]
)
def test_int8_that_is_not_faster_than_what_the_same_backend_does_without_it_is_named(result, fp32, int8, is_useless):
    lines = [line for line in problems_of(with_times(result, fp32=fp32, int8=int8, other=(1, 2))) if "WORTH" in line]
    expected = "NOT WORTH IT: one int8 is not faster than one fp32 here: "
    assert [line.startswith(expected) for line in lines] == ([True] if is_useless else [])
