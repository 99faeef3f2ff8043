import dataclasses
import json
import math
from xml.etree import ElementTree

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

from mde_bench import cli
from mde_bench.accuracy.frames import Excerpt
from mde_bench.compare.baseline import compare_with_baseline
from mde_bench.compare.bundles import Comparison, Comparisons, Launch, compare, decide, processor, wall
from mde_bench.plan import plan_run
from mde_bench.report.ci import write_comparison_files
from mde_bench.run import carry_out
from mde_bench.timing.effort import EFFORTS, ONE_LAUNCH, Launches
from mde_bench.timing.statistics import Interval, Ratio
from mde_bench.timing.worker import CandidateError
from mde_runtime import records
from mde_runtime.errors import MeasurementError

BRIEF = EFFORTS["brief"]
FEW = Launches(looks=(3,), level=0.25, rounds=ONE_LAUNCH)  # the level that three launches can give
FRAMES = np.zeros((2, 24, 32, 3), np.uint8)
ONE = ("--only", "onnxruntime-cpu fp32")


def bench(*arguments):
    return CliRunner().invoke(cli.main, [str(argument) for argument in arguments])


def brief(*arguments):
    return bench("compare", *arguments, "--effort", "brief", "--cpu-time")


def of_ratio(value, low, high, rule_out=None):
    return Comparison("a", value, 1.0, Ratio(value, Interval(low, high)), (), rule_out)


def test_twice_the_time_is_slower_and_half_of_it_faster(badly):
    one, two = badly("steady", delay_us=2000), badly("steady", delay_us=4000)
    slower = compare(two, one, FRAMES, processor, 0.05, FEW)
    assert slower.verdict == "slower"
    assert slower.ratio.value == pytest.approx(2, rel=0.3)
    assert compare(one, two, FRAMES, processor, 0.05, FEW).verdict == "faster"


def test_what_waits_without_computing_counts_in_wall_time_alone(badly):
    dozing = badly("dozes", delay_us=20_000)
    assert compare(dozing, dozing, FRAMES, wall, 0.05, FEW).new_p50_s >= 0.02
    assert compare(dozing, dozing, FRAMES, processor, 0.05, FEW).new_p50_s < 0.02


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(1.01, 1.1, "slower"), (0.99, 1.1, "no difference seen"), (0.8, 0.99, "faster")],
)
def test_the_whole_interval_decides(low, high, verdict):
    assert of_ratio((low * high) ** 0.5, low, high).verdict == verdict


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.99, 1.04, "no difference seen"), (0.99, 1.06, "undecided"), (0.94, 1.01, "undecided"), (1.01, 1.2, "slower")],
)
def test_without_a_difference_a_change_has_to_be_ruled_out(low, high, verdict):
    assert of_ratio(1.0, low, high, rule_out=0.05).verdict == verdict


def test_a_ratio_that_is_no_number_rules_nothing_out():
    assert of_ratio(math.nan, math.nan, math.nan, rule_out=0.05).verdict == "undecided"


def test_calls_that_a_coarse_clock_takes_for_nothing_are_no_measurement(badly):
    with pytest.raises(MeasurementError, match="no time at all by this system's clock"):
        compare(badly("steady"), badly("steady"), FRAMES, lambda samples: [0] * len(samples.round), 0.05, FEW)


@pytest.mark.parametrize(
    ("log_ratios", "num_launches"),
    [
        ((0.01, 0.02, 0.03, 0.04, 0.05), 3),  # all slower: decided at the first look
        ((0.0, 0.001, -0.001, 0.0, 0.001), 3),  # no difference, and a change ruled out
        ((0.08, 0.001, -0.001, 0.0, 0.001), 5),  # one disturbed launch hides it from the first look, not from the next
        ((0.2, -0.2, 0.2, -0.2, 0.2, -0.2, 0.2, -0.2), 8),  # never decided
    ],
)
def test_a_comparison_ends_at_the_first_look_that_decides(log_ratios, num_launches):
    made = iter([Launch(1.0, 1.0, log_ratio) for log_ratio in log_ratios])
    launches = dataclasses.replace(FEW, looks=(3, 5, 8))
    assert len(decide("a", lambda: next(made), launches, 0.05).ratios) == num_launches


def test_every_look_is_told():
    told = []
    made = iter([Launch(1.0, 1.0, log_ratio) for log_ratio in (0.2, -0.2, 0.2, 0.0, 0.0)])
    decide("a", lambda: next(made), dataclasses.replace(FEW, looks=(3, 5)), 0.05, told.append)
    assert [line.split(" (")[0] for line in told] == [
        "a: comparing, 3 to 5 launches",
        "a: undecided after 3 launches",
        "a: undecided after 5 launches",
    ]


def verdicts(ended):
    return {line.split(": ")[0]: line.split(": ")[1].split(";")[0] for line in ended.stdout.splitlines()}


@pytest.fixture
def slow_bundle(make_bundle, tiny_graph):
    """The tiny bundle with a thousand sines more to compute."""
    model = onnx.load_from_string(tiny_graph())
    (metres,) = (node for node in model.graph.node if "raw" in node.output)
    metres.output[0] = "sine0"
    at = list(model.graph.node).index(metres) + 1
    for number in range(1000):
        result = "raw" if number == 999 else f"sine{number + 1}"
        model.graph.node.insert(at + number, onnx.helper.make_node("Sin", [f"sine{number}"], [result]))
    return make_bundle("slow.mde", graphs={"fp32": model.SerializeToString()})


def test_a_slower_bundle_is_named_and_ends_with_1(slow_bundle, tiny_bundle):
    ended = brief(slow_bundle, "--against", tiny_bundle, *ONE)
    assert ended.exit_code == 1, ended.output
    assert "slow.mde is slower on onnxruntime-cpu fp32" in ended.stderr


@pytest.mark.parametrize(
    ("value", "low", "high", "smallest"),
    [
        (1.0, 1 / 1.03, 1.03, 0.03),
        (1.0, 1 / 1.08, 1.02, 0.08),  # 1.05 times the time would have given 0.972 to 1.071: not seen
        (1.0, 1 / 1.02, 1.08, 0.08),  # nor would 1 / 1.05 times: 0.934 to 1.029
        (2.0, 2 / 1.08, 2.0 * 1.02, 0.08),  # the arms count, not where the interval lies
    ],
)
def test_the_smallest_change_that_would_be_seen_either_way_is_the_longer_arm_of_the_interval(
    value, low, high, smallest
):
    assert of_ratio(value, low, high).smallest_seen == pytest.approx(smallest)


@pytest.mark.parametrize(("low", "high"), [(1 / 1.08, 1.02), (1 / 1.02, 1.08), (0.95, 1.05)])
def test_a_change_just_above_the_smallest_is_seen_both_ways_and_one_just_below_is_not(low, high):
    smallest = of_ratio(1.0, low, high).smallest_seen

    def verdicts_at(change):
        return {of_ratio(ratio, low * ratio, high * ratio).verdict for ratio in (1 + change, 1 / (1 + change))}

    assert verdicts_at(smallest * 1.01) == {"slower", "faster"}
    assert "no difference seen" in verdicts_at(smallest * 0.99)


def test_a_side_that_fails_is_named(badly):
    with pytest.raises(CandidateError, match=r"the new bundle: .* code 7$"):
        compare(badly("exits_when_opened"), badly("steady"), FRAMES, wall, 0.05, FEW)


def test_a_comparison_is_written_and_told_and_what_stays_undecided_is_no_valid_measurement(tiny_bundle, tmp_path):
    only = ("--only", "onnxruntime-* fp32")
    ended = brief(tiny_bundle, "--against", tiny_bundle, *only, "--ci", tmp_path / "ci", "--rule-out-percent", 0.1)
    assert "onnxruntime-cpu fp32: comparing, 6 launches" in ended.stderr
    assert "onnxruntime-cuda fp32: comparing" not in ended.stderr
    assert "effort brief: equal bundles are called different in 5.0% at most" in ended.stderr
    assert "not compared: onnxruntime-cuda fp32: " in ended.stderr
    assert sorted(path.name for path in (tmp_path / "ci").iterdir()) == ["benchmark.json", "junit.xml", "summary.md"]
    ((name, verdict),) = verdicts(ended).items()  # no six launches rule out a thousandth; 3 in 100 are a false alarm
    assert name == "onnxruntime-cpu fp32"
    assert ended.exit_code == {"undecided": 5, "slower": 1, "faster": 0}[verdict], ended.output
    assert ("not decided on onnxruntime-cpu fp32" in ended.stderr) == (verdict == "undecided")


def test_a_name_that_no_candidate_has_cannot_be_compared(tiny_bundle):
    ended = brief(tiny_bundle, "--against", tiny_bundle, "--only", "abacus *")
    assert ended.exit_code == 2
    assert "no candidate matches abacus *" in ended.stderr


def test_a_comparison_is_told_to_a_ci(tmp_path):
    slower, same = of_ratio(1.05, 1.02, 1.08), dataclasses.replace(of_ratio(1.0, 0.99, 1.01), name="b")
    write_comparison_files(Comparisons((slower, same), {}, "brief", 0.05), "new.mde against old.mde", tmp_path)
    failures = [case.get("classname") for case in ElementTree.parse(tmp_path / "junit.xml").iter() if len(case) == 1]
    assert failures == ["a"]
    said = (tmp_path / "summary.md").read_text()
    assert said.startswith("## ❌ new.mde against old.mde\n")
    assert "| a | slower | 1.0500 | 1.0200 to 1.0800 | 2.9% |" in said
    assert json.loads((tmp_path / "benchmark.json").read_text())[1] == {
        "name": "b time over the old",
        "unit": "ratio",
        "value": 1.0,
        "range": "± 0.01",
    }


def test_bundles_for_other_frames_cannot_be_compared(tiny_bundle, make_bundle, tiny_contract):
    colour = dataclasses.replace(tiny_contract.source, colour="bgr")
    other = make_bundle("other.mde", contract=dataclasses.replace(tiny_contract, source=colour))
    ended = bench("compare", tiny_bundle, "--against", other)
    assert ended.exit_code == 3
    assert "different frames" in ended.stderr


@pytest.fixture
def baseline(tiny_bundle, tiny_data, tmp_path):
    excerpt = Excerpt(tiny_data, None, 4)
    result = carry_out(plan_run(tiny_bundle, None, excerpt, "seed", 1, BRIEF, only=("onnxruntime-cpu *",))).result
    result = dataclasses.replace(result, invalid_because=())

    def write(**changes):
        (tmp_path / "base.json").write_text(records.dumps(dataclasses.replace(result, **changes)))
        return tmp_path / "base.json"

    return write, result


SETTLED = dataclasses.replace(BRIEF, rounds=dataclasses.replace(BRIEF.rounds, settled_share=math.inf))


def test_every_candidate_of_a_baseline_is_held_against_its_own_row(baseline, tiny_bundle):
    found = compare_with_baseline(tiny_bundle, baseline[0](), SETTLED)
    assert [it.name for it in found.comparisons] == ["onnxruntime-cpu fp32", "onnxruntime-cpu fp16"]
    found = compare_with_baseline(tiny_bundle, baseline[0](), SETTLED, only=("* fp16",))
    assert [it.name for it in found.comparisons] == ["onnxruntime-cpu fp16"]


def test_more_than_the_time_of_the_baseline_is_slower(baseline, tiny_bundle):
    write, result = baseline
    interval = Interval(1e-9, 1e-9)
    quick = [
        dataclasses.replace(
            row,
            speed=dataclasses.replace(
                row.speed,
                end_to_end=dataclasses.replace(row.speed.end_to_end, p50_s=1e-9, p50_interval_s=interval),
            ),
        )
        for row in result.rows
    ]
    found = compare_with_baseline(tiny_bundle, write(rows=tuple(quick)), SETTLED)
    assert [it.verdict for it in found.comparisons] == ["slower", "slower"]


def test_a_bundle_that_fails_where_its_baseline_ran_is_no_pass(baseline, make_bundle, with_member, tmp_path):
    broken = make_bundle("broken.mde")
    for precision in ("fp32", "fp16"):
        with_member(broken, f"graphs/{precision}.onnx", b"no graph")
    ended = bench("compare", broken, "--baseline", baseline[0](), "--effort", "brief", "--ci", tmp_path / "ci")
    assert ended.exit_code == 1
    assert "onnxruntime-cpu fp32: BadInputError" in ended.stderr
    assert not (tmp_path / "ci").exists()


def test_a_baseline_that_nothing_can_be_held_against_is_no_pass(baseline, tiny_bundle, tmp_path):
    write, result = baseline
    path = write(rows=(dataclasses.replace(result.rows[0], name="torch eager fp32"),))
    ended = bench("compare", tiny_bundle, "--baseline", path, "--ci", tmp_path / "ci")
    assert ended.exit_code == 4
    assert "base.json has no figure for it" in ended.stderr
    assert not (tmp_path / "ci").exists()


@pytest.mark.parametrize("option", [("--threads", "1"), ("--cpu-time",), ("--rule-out-percent", "5")])
def test_what_a_baseline_cannot_be_asked_is_refused(tiny_bundle, option):
    ended = bench("compare", tiny_bundle, "--baseline", "bench.json", *option)
    assert ended.exit_code == 2
    assert f"{option[0]} goes with --against" in ended.stderr


def test_a_baseline_of_another_machine_is_refused(baseline, tiny_bundle):
    write, result = baseline
    machine = dataclasses.replace(result.conditions.machine, cpu="another")
    path = write(conditions=dataclasses.replace(result.conditions, machine=machine))
    ended = bench("compare", tiny_bundle, "--baseline", path)
    assert ended.exit_code == 3
    assert "not this machine" in ended.stderr


def test_a_baseline_of_other_frames_is_refused(baseline, tiny_bundle):
    write, result = baseline
    source = dataclasses.replace(result.judged.contract.source, colour="bgr")
    contract = dataclasses.replace(result.judged.contract, source=source)
    ended = bench(
        "compare", tiny_bundle, "--baseline", write(judged=dataclasses.replace(result.judged, contract=contract))
    )
    assert ended.exit_code == 3
    assert "different frames" in ended.stderr


def test_a_baseline_that_is_not_valid_is_refused(baseline, tiny_bundle):
    ended = bench("compare", tiny_bundle, "--baseline", baseline[0](invalid_because=("it drifted",)))
    assert ended.exit_code == 3
    assert "it drifted" in ended.stderr


@pytest.mark.parametrize("arguments", [(), ("--against", "a.mde", "--baseline", "b.json")])
def test_one_side_to_compare_with_is_needed(tiny_bundle, arguments):
    assert bench("compare", tiny_bundle, *arguments).exit_code == 2
