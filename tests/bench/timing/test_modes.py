import dataclasses

import pytest

from mde_bench.machine.conditions import Moment
from mde_bench.report.page import page
from mde_bench.result.result import read_result, save
from mde_bench.run import carry_out
from mde_bench.timing.modes import Asked, paced_figures, sustained_figures
from mde_bench.timing.samples import Arrival
from mde_runtime.errors import UsageError

MILLISECOND = 10**6
COOL = Moment(0.1, 2e9, 40.0, 0)


def test_a_frame_that_is_answered_after_the_next_arrives_is_late():
    found = paced_figures([Arrival(10 * MILLISECOND), Arrival(40 * MILLISECOND), Arrival(None)], fps=30)
    assert (found.num_frames, found.num_late, found.num_dropped) == (3, 2, 1)
    assert found.latency.max_s == 0.04


def test_when_every_frame_was_dropped_there_is_no_latency():
    assert paced_figures([Arrival(None)] * 3, fps=30).latency is None


def test_the_last_third_of_a_sustained_run_decides():
    minutes = [[10 * MILLISECOND] * 50] * 4 + [[15 * MILLISECOND] * 50] * 2
    found = sustained_figures(minutes, [COOL] * 6)
    assert found.last_third_p99_s == 0.015
    assert found.slower_than_first == pytest.approx(1.5)
    assert [minute.p50_s for minute in found.minutes] == [0.01] * 4 + [0.015] * 2
    assert found.verdict == "slows down"
    assert sustained_figures(minutes[:4], [COOL] * 4).verdict == "keeps its speed"


def test_modes_are_measured_when_they_are_asked_for(tiny_plan, badly, tmp_path):
    asked = Asked(("offline", "paced", "sustained"), fps=50, minutes=0.005)
    result = carry_out(dataclasses.replace(tiny_plan(badly("steady", delay_us=1000)), asked=asked)).result
    found = result.rows[0].modes
    assert 0 < found.offline.frames_per_s <= 1000  # a frame computes for a millisecond
    assert found.offline.interval_per_s.low <= found.offline.frames_per_s <= found.offline.interval_per_s.high
    assert found.paced.num_frames == 250
    assert found.paced.latency.min_s >= 0.001
    assert len(found.sustained.minutes) == 1
    save(result, tmp_path / "bench.json")
    assert read_result(tmp_path / "bench.json") == result


def test_modes_that_nobody_asked_for_are_not_measured(tiny_plan, badly):
    assert carry_out(tiny_plan(badly("steady"))).result.rows[0].modes is None


def test_frames_that_come_faster_than_they_are_answered_are_dropped(tiny_plan, badly):
    asked = Asked(("paced",), fps=100)
    result = carry_out(dataclasses.replace(tiny_plan(badly("steady", delay_us=25000)), asked=asked)).result
    paced = result.rows[0].modes.paced
    assert paced.num_dropped >= paced.num_frames / 3  # one in three is answered at the very best
    assert paced.num_late == paced.num_frames


def test_only_what_was_asked_for_is_measured_beside_the_reference(tiny_plan, badly):
    one, two = (dataclasses.replace(badly("steady"), name=name) for name in ("one fp32", "two fp32"))
    plan = tiny_plan(badly("steady"), one, two).asking(Asked(("offline",), only=("two *",)))
    reference, row = carry_out(plan).result.rows
    assert (reference.name, row.name) == ("steady", "two fp32")
    assert reference.modes is None
    assert row.modes.offline is not None


def test_a_candidate_that_nobody_has_cannot_be_asked_for(tiny_plan, badly):
    with pytest.raises(UsageError, match="no candidate is named nonsense; there are steady"):
        tiny_plan(badly("steady")).asking(Asked(only=("nonsense",)))


def test_a_report_shows_every_minute_of_a_sustained_run(tiny_plan, badly):
    plan = dataclasses.replace(tiny_plan(badly("steady")), asked=Asked(("sustained",), minutes=0.005))
    text = page(carry_out(plan), plan.scene)
    assert '<table id="sustained">' in text
    assert "sustained for 1 min: " in text
