import dataclasses

import pytest

from mde_bench.machine.conditions import Moment
from mde_bench.report.page import page
from mde_bench.result.result import read_result, save
from mde_bench.run import carry_out
from mde_bench.subjects.estimator import TimedSession
from mde_bench.timing.candidates import named
from mde_bench.timing.modes import MODES, ModeSettings
from mde_bench.timing.modes.figures import ModeFigures, mode_file
from mde_bench.timing.modes.paced import paced_figures
from mde_bench.timing.modes.sustained import sustained_figures
from mde_bench.timing.samples import Arrival
from mde_runtime.backends import frames_a_run
from mde_runtime.backends.null import NullSession
from mde_runtime.errors import UsageError

MILLISECOND = 10**6
COOL = Moment(0.1, 2e9, 40.0, 0)


class Lanes(NullSession):
    """A session that has its lanes work on several frames, one each."""

    def lanes(self):
        return ()


@pytest.mark.parametrize("session", [NullSession(), Lanes()], ids=["one run at a time", "lanes"])
def test_as_many_frames_of_a_batch_run_at_once_with_a_clock_as_without(session):
    assert frames_a_run(TimedSession(session)) == frames_a_run(session)


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
    settings = ModeSettings(names=("offline", "paced", "sustained"), fps=50, minutes=0.005)
    result = carry_out(dataclasses.replace(tiny_plan(badly("steady", delay_us=1000)), modes=settings)).result
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
    settings = ModeSettings(names=("paced",), fps=100)
    result = carry_out(dataclasses.replace(tiny_plan(badly("steady", delay_us=25000)), modes=settings)).result
    paced = result.rows[0].modes.paced
    assert paced.num_dropped >= paced.num_frames / 3  # one in three is answered at the very best
    assert paced.num_late == paced.num_frames


def test_a_candidate_that_was_not_named_is_not_measured_in_a_mode(tiny_plan, badly):
    reference, other = badly("steady"), dataclasses.replace(badly("steady"), name="two fp32")
    plan = dataclasses.replace(tiny_plan(reference, other), only=("two *",), modes=ModeSettings(names=("offline",)))
    first, second = carry_out(plan).result.rows
    assert first.modes is None
    assert second.modes.offline is not None


def test_candidates_are_chosen_by_patterns_of_their_names(badly):
    one, two = (dataclasses.replace(badly("steady"), name=name) for name in ("one fp32", "two fp32"))
    assert named([one, two], ()) == [one, two]
    assert named([one, two], ("two *", "three")) == [two]


def test_a_name_that_no_candidate_has_is_refused_with_those_that_there_are(badly):
    with pytest.raises(UsageError, match="no candidate matches nonsense; choose from steady"):
        named([badly("steady")], ("nonsense",))


@pytest.mark.parametrize("name", MODES)
def test_every_mode_of_the_table_has_figures_words_and_rows_under_its_headings(tiny_plan, badly, name):
    settings = ModeSettings(names=(name,), fps=100, minutes=0.002)
    figures = carry_out(dataclasses.replace(tiny_plan(badly("steady")), modes=settings)).result.rows[0].modes
    assert [each for each in MODES if getattr(figures, each)] == [name]
    (said,) = figures.in_words()
    assert said.startswith(name)
    assert all(len(row) == len(mode_file(name).HEADINGS) for row in figures.rows(name))
    assert figures.rows(name)


def test_a_field_keeps_the_figures_of_every_mode():
    assert [field.name for field in dataclasses.fields(ModeFigures)] == list(MODES)


def test_a_report_shows_every_minute_of_a_sustained_run(tiny_plan, badly):
    plan = dataclasses.replace(tiny_plan(badly("steady")), modes=ModeSettings(names=("sustained",), minutes=0.005))
    text = page(carry_out(plan), plan.scene)
    assert '<table id="sustained">' in text
    assert "sustained for 1 min: " in text
