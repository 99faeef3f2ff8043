import dataclasses
import re

import numpy as np
import pytest
from click.testing import CliRunner

from mde_bench import cli, run
from mde_bench.accuracy import frames
from mde_bench.machine.conditions import Conditions
from mde_bench.result.result import read_result
from mde_bench.timing import interleave
from mde_runtime import records
from mde_runtime.backends import BACKENDS
from mde_runtime.bundle import read_bundle
from mde_runtime.cache import get_ranking
from mde_runtime.errors import BadInputError

HERE = "onnxruntime-cpu"


@pytest.fixture(autouse=True)
def _brief(monkeypatch):
    """Measure for a tenth of a second: what is tested here is what is written, not what is measured."""
    brief = interleave.Effort(num_rounds=6, block_s=0.002, min_calls=2, max_windows=2, max_warm_up_s=0.05)
    monkeypatch.setattr(interleave, "Effort", lambda: brief)


def bench(*arguments):
    return CliRunner().invoke(cli.main, [str(argument) for argument in arguments])


@pytest.fixture
def measured(tiny_bundle, tiny_data, tmp_path):
    result = bench(
        "run", tiny_bundle, "--data", tiny_data, "--json", tmp_path / "bench.json", "--threads", 1, "--allow-noisy"
    )
    assert result.exit_code == 0, result.output
    return result, read_result(tmp_path / "bench.json")


def test_a_run_prints_a_row_for_every_precision_and_says_what_parity_is_against(measured):
    printed, _ = measured
    assert f"{HERE} fp32" in printed.stdout
    assert f"{HERE} fp16" in printed.stdout
    assert "no checkpoint was given" in printed.stdout


def test_the_json_holds_the_raw_samples_that_the_figures_were_made_of(measured):
    _, result = measured
    for row in result.rows:
        figures, samples = row.speed.end_to_end, row.speed.samples
        assert figures.num_samples == len(samples.wall_ns) >= 12
        assert figures.min_s == pytest.approx(min(samples.wall_ns) / 1e9)
        assert all(0 < backend <= wall for backend, wall in zip(samples.backend_ns, samples.wall_ns, strict=True))
        assert set(samples.round) == set(range(6))


def test_host_and_backend_make_up_the_whole(measured):
    _, result = measured
    speed = result.rows[0].speed
    assert speed.backend.mean_s + speed.host.mean_s == pytest.approx(speed.end_to_end.mean_s)


def test_what_this_machine_cannot_run_is_named_and_is_no_failure(measured):
    _, result = measured
    assert set(result.absent) == {
        f"{name} {precision}"
        for name, row in BACKENDS.items()
        if row.device == "cuda"
        for precision in ("fp32", "fp16")
    }


def test_accuracy_is_the_named_protocols_over_the_frames(measured):
    _, result = measured
    assert {row.accuracy.protocol for row in result.rows} == {"seed"}
    # the truth is the colours' depth plus 0.3 to 1.0 m, of which JPEG and the clip at 20 m change a centimetre or so
    assert result.rows[0].accuracy.values["rmse_m"] == pytest.approx(0.69, abs=0.03)


@pytest.fixture
def _always_valid(monkeypatch):
    """However busy or hot the machine, a run is valid."""
    monkeypatch.setattr(interleave, "SETTLED_SHARE", np.inf)
    monkeypatch.setattr(Conditions, "has_throttled", False)


@pytest.mark.usefixtures("_always_valid")
def test_a_valid_run_is_kept_for_the_automatic_choice(tiny_bundle, tiny_data):
    ended = bench("run", tiny_bundle, "--data", tiny_data)
    assert ended.exit_code == 0, ended.output
    ranking = get_ranking(read_bundle(tiny_bundle).manifest.members["graphs/fp32.onnx"].sha256)
    assert {(row.backend, row.precision) for row in ranking.fastest_first} >= {(HERE, "fp32"), (HERE, "fp16")}


@pytest.mark.usefixtures("_always_valid")
@pytest.mark.parametrize("option", [("--only", f"{HERE} fp16"), ("--threads", 1)])
def test_a_run_of_some_candidates_or_threads_is_not_kept_for_the_automatic_choice(tiny_bundle, tiny_data, option):
    ended = bench("run", tiny_bundle, "--data", tiny_data, *option)
    assert ended.exit_code == 0, ended.output
    assert get_ranking(read_bundle(tiny_bundle).manifest.members["graphs/fp32.onnx"].sha256) is None


def test_figures_that_never_settle_make_no_valid_run(tiny_bundle, tiny_data, monkeypatch, tmp_path):
    monkeypatch.setattr(interleave, "SETTLED_SHARE", 0.0)  # nothing is that steady
    arguments = ("run", tiny_bundle, "--data", tiny_data, "--json", tmp_path / "bench.json")
    refused = bench(*arguments)
    assert refused.exit_code == 5
    assert re.search(r"not valid: .* (moved by|wide)", refused.stderr)
    allowed = bench(*arguments, "--allow-noisy")
    assert allowed.exit_code == 0
    assert "warning" in allowed.stderr
    assert read_result(tmp_path / "bench.json").invalid_because


def test_a_run_that_is_not_valid_is_not_kept_for_the_automatic_choice(tiny_bundle, tiny_data, monkeypatch):
    monkeypatch.setattr(interleave, "SETTLED_SHARE", 0.0)
    bench("run", tiny_bundle, "--data", tiny_data, "--allow-noisy")
    assert get_ranking(read_bundle(tiny_bundle).manifest.members["graphs/fp32.onnx"].sha256) is None


def test_a_graph_that_is_not_the_references_depth_is_named_and_not_kept(make_bundle, tiny_graph, tiny_data):
    wrong = make_bundle(graphs={"fp32": tiny_graph(), "fp16": tiny_graph("FLOAT16", offset_m=0.1)})
    result = bench("run", wrong, "--data", tiny_data, "--allow-noisy")
    assert result.exit_code == 0, result.output
    assert f"NOT USED: {HERE} fp16 is not the reference's depth: RMSE of the worst frame is 0.1" in result.stdout
    ranking = get_ranking(read_bundle(wrong).manifest.members["graphs/fp32.onnx"].sha256)
    assert ranking is None or "fp16" not in {row.precision for row in ranking.fastest_first}


def test_a_run_without_anything_to_ship_ends_with_1(tiny_bundle, tiny_data, monkeypatch):
    monkeypatch.delitem(BACKENDS, HERE)
    result = bench("run", tiny_bundle, "--data", tiny_data, "--allow-noisy")
    assert result.exit_code == 1
    assert "none ran to the end" in result.stderr


def test_more_frames_than_memory_is_meant_for_are_refused_with_the_remedy(tiny_bundle, tiny_data, monkeypatch):
    monkeypatch.setattr(frames, "MAX_PIXELS", 3 * 24 * 32)
    ended = bench("run", tiny_bundle, "--data", tiny_data, "--frames", 4)
    assert ended.exit_code == 2
    assert "give 3 or fewer" in ended.stderr
    assert "mde-bench accuracy" in ended.stderr


def test_frames_of_another_size_are_refused_with_the_remedy(make_bundle, tiny_contract, tiny_data):
    source = dataclasses.replace(tiny_contract.source, height_px=48)
    other = make_bundle(contract=dataclasses.replace(tiny_contract, source=source))
    result = bench("run", other, "--data", tiny_data)
    assert result.exit_code == 3
    assert "--source-size" in result.stderr


@pytest.fixture
def _never_carried_out(monkeypatch):
    """What is refused is refused before the long work."""
    monkeypatch.setattr(run, "carry_out", None)


@pytest.mark.parametrize(
    ("arguments", "exit_code", "said"),
    [
        (("--protocol", "nonsense"), 2, "protocol 'nonsense'"),
        (("--split", "nonsense"), 3, "no split 'nonsense'"),
        (("--frames", "0"), 2, "'--frames'"),
        (("--threads", "0"), 2, "'--threads'"),
        (("--mode", "paced", "--fps", "0"), 2, "'--fps'"),
        (("--mode", "sustained", "--minutes", "0"), 2, "'--minutes'"),
        (("--mode", "sustained", "--minutes", "-1"), 2, "'--minutes'"),
    ],
)
@pytest.mark.usefixtures("_never_carried_out")
def test_what_does_not_exist_is_refused(tiny_bundle, tiny_data, arguments, exit_code, said):
    result = bench("run", tiny_bundle, "--data", tiny_data, *arguments)
    assert result.exit_code == exit_code
    assert said in result.stderr


@pytest.mark.usefixtures("_never_carried_out")
def test_truth_that_the_protocol_refuses_is_refused_before_anything_runs(tiny_bundle, tiny_data):
    path = tiny_data / "depth" / "val" / "5.npy"
    truth_m = np.load(path)
    truth_m[3:5, 7] = 0
    np.save(path, truth_m)
    result = bench("run", tiny_bundle, "--data", tiny_data)
    assert result.exit_code == 3
    assert "protocol seed, frame 5: 2 pixels of the truth are no measurement" in result.stderr


def test_a_result_of_another_schema_is_refused(measured, tmp_path):
    later = dataclasses.replace(measured[1], schema=99)
    (tmp_path / "later.json").write_text(records.dumps(later))
    with pytest.raises(BadInputError, match="measure again"):
        read_result(tmp_path / "later.json")
