import dataclasses
import json
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from mde_bench import cli
from mde_bench.report.ci import benchmark, junit, summary
from mde_bench.result.gate import Check, checks, read_gate
from mde_bench.run import carry_out
from mde_runtime.errors import BadInputError


@pytest.fixture
def gate(tmp_path):
    def write(text):
        (tmp_path / "gate.toml").write_text(text)
        return read_gate(tmp_path / "gate.toml")

    return write


@pytest.fixture
def result(tiny_plan, badly):
    """One that is right and takes 0.2 ms at least, one that is half a metre off, one that crashes."""
    wrong = dataclasses.replace(badly("steady", fault="wrong_depth"), name="wrong")
    crash = dataclasses.replace(badly("steady", fault="crash"), name="crash")
    return carry_out(tiny_plan(badly("steady"), wrong, crash)).result


def breaches(result, gate):
    return {(check.candidate, check.what): check.breach for check in checks(result, gate) if check.breach}


def test_limits_that_hold_are_no_breach(result, gate):
    held = gate('protocol = "seed"\n[steady]\np50_ms = 1000\nrmse_m = 1.0\nssim = 0.5\n')
    assert breaches(result, held) == {}


def test_a_time_over_its_limit_is_a_breach_that_says_both(result, gate):
    (said,) = breaches(result, gate("[steady]\np50_ms = 0.01\n")).values()
    assert said == f"p50_ms is {result.rows[0].speed.end_to_end.p50_s * 1e3:.5g}, over 0.01"


def test_a_score_under_its_limit_is_a_breach(result, gate):
    (said,) = breaches(result, gate("[steady]\nssim = 0.9999\n")).values()
    assert "under 0.9999" in said


def test_depth_that_is_the_opposite_of_the_references_has_no_high_similarity(result, gate):
    inverted = dataclasses.replace(result.rows[1], name="inverted")
    parity = dataclasses.replace(inverted.parity, ssim_worst=-0.95, bias_m=-0.5)
    rows = dataclasses.replace(result, rows=(dataclasses.replace(inverted, parity=parity),))
    found = breaches(rows, gate("[inverted]\nparity_ssim_worst = 0.9\nparity_bias_mm = 400\n"))
    assert found["inverted", "parity_ssim_worst"] == "parity_ssim_worst is -0.95, under 0.9"
    assert found["inverted", "parity_bias_mm"] == "parity_bias_mm is 500, over 400"  # either way is too far


def test_a_candidate_that_the_gate_names_has_to_run_and_to_be_faithful(result, gate):
    found = breaches(result, gate('["*"]\np50_ms = 1000\n'))
    assert "SIGSEGV" in found["crash", "runs"]
    assert found["crash", "p50_ms"] == "p50_ms was not measured"
    assert "0.5000 m" in found["wrong", "gives the reference's depth"]


@pytest.fixture
def unjudged(tiny_plan, badly):
    """A result whose reference crashed, so that nothing was held against it."""
    crash = dataclasses.replace(badly("steady", fault="crash"), name="crash")
    return carry_out(tiny_plan(crash, badly("steady"))).result


def test_what_was_not_compared_with_its_reference_is_no_pass(unjudged, gate):
    (said,) = breaches(unjudged, gate("[steady]\np50_ms = 1000\n")).values()
    assert said.startswith("was not compared with its reference, onnxruntime-cpu fp32")
    (said,) = breaches(unjudged, None).values()
    assert said.startswith("none finished")


def test_a_checkpoint_whose_row_is_missing_was_not_compared_with_either(result, gate):
    model = "the PyTorch model of a.ckpt, FP32"
    asked = dataclasses.replace(result.judged, checkpoint_sha256="ab" * 32, reference=model)
    (said,) = breaches(dataclasses.replace(result, judged=asked), gate("[steady]\np50_ms = 1000\n")).values()
    assert said == f"was not compared with its reference, {model}"


def test_a_candidate_that_the_gate_does_not_name_may_fail(result, gate):
    assert breaches(result, gate("[steady]\np50_ms = 1000\n")) == {}


def test_without_a_gate_one_candidate_has_to_be_fit_to_ship(result):
    assert breaches(result, None) == {}
    (said,) = breaches(dataclasses.replace(result, rows=result.rows[1:]), None).values()
    assert said.startswith("none finished")


def test_a_name_that_nothing_has_is_a_breach(result, gate):
    assert breaches(result, gate("[stedy]\np50_ms = 1000\n")) == {
        ("stedy", "p50_ms"): "no candidate of this name was measured"
    }


def test_limits_of_another_protocol_are_a_breach(result, gate):
    assert "of nyu" in breaches(result, gate('protocol = "nyu"\n[steady]\nrmse_m = 9\n'))["gate", "protocol"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[a]\np50 = 3", "unknown figure 'p50'"),
        ("[a]\np50_ms = 'fast'", "p50_ms is a number"),
        ("p50_ms = 3", "outside a table"),
        ("", "contains no limit"),
        ("[a", "not TOML"),
        (f"a = {'9' * 5000}", "not TOML"),
        (f"a = {'[' * 5000}", "not TOML"),
        ("['*']\np50_ms = inf", "p50_ms is not a finite number"),
        ("['*']\np50_ms = nan", "p50_ms is not a finite number"),
        (f"['*']\np50_ms = {'9' * 400}", "p50_ms is not a finite number"),
        ("protocol = 3", "protocol is a name"),
    ],
)
def test_a_gate_that_could_never_fail_is_refused(gate, text, said):
    with pytest.raises(BadInputError, match=said):
        gate(text)


def test_a_gate_that_is_not_there_is_refused_with_what_to_write(tmp_path):
    with pytest.raises(BadInputError, match="no such file; write limits in TOML"):
        read_gate(tmp_path / "gate.toml")


def test_junit_has_a_case_for_every_check_and_a_failure_for_every_breach():
    suite = ElementTree.fromstring(junit([Check("a", "runs", None), Check("b <c>", "p50_ms", "3 & more")]))
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    assert [case.get("classname") for case in suite] == ["a", "b <c>"]
    assert suite[1][0].get("message") == "3 & more"


def test_the_summary_says_the_verdict_the_breaches_and_every_row(result):
    said = summary(result, [Check("steady", "p50_ms", "p50_ms is 9, over 8")])
    assert said.startswith("## ❌ steady: ")
    assert "- steady: p50_ms is 9, over 8" in said
    rows = [line for line in said.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + 3
    assert len({line.count("|") for line in rows}) == 1


def test_the_benchmark_json_is_what_the_action_reads(result):
    entries = json.loads(benchmark(result))
    assert [entry["name"] for entry in entries] == ["steady p50", "steady p99", "wrong p50", "wrong p99"]
    assert all(entry["unit"] == "ms" and entry["value"] > 0 for entry in entries)


def test_a_breach_ends_the_command_with_1_and_one_line_each(tiny_bundle, tiny_data, tmp_path):
    (tmp_path / "gate.toml").write_text('["onnxruntime-cpu *"]\np50_ms = 1e-6\n')
    arguments = ["run", tiny_bundle, "--data", tiny_data, "--gate", tmp_path / "gate.toml", "--ci", tmp_path / "ci"]
    arguments += ["--effort", "brief", "--only", "onnxruntime-cpu *", "--allow-noisy"]
    ended = CliRunner().invoke(cli.main, list(map(str, arguments)))
    assert ended.exit_code == 1
    assert sum("over 1e-06" in line for line in ended.stderr.splitlines()) == 2
    assert {path.name for path in (tmp_path / "ci").iterdir()} == {"junit.xml", "summary.md", "benchmark.json"}
