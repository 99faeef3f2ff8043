import dataclasses
import re

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from PIL import Image

from mde_bench import cli
from mde_bench.accuracy.frames import Excerpt, open_scene
from mde_bench.plan import plan_run
from mde_bench.result.ranking import keep_ranking
from mde_bench.result.result import read_result
from mde_bench.run import carry_out
from mde_bench.timing.effort import EFFORTS
from mde_runtime import records
from mde_runtime.bundle import read_bundle
from mde_runtime.cache import get_ranking
from mde_runtime.errors import BadInputError, UsageError

HERE = "onnxruntime-cpu"
SOME = ("--only", "onnxruntime-c*")  # one backend that is here and one that is not
BRIEF = EFFORTS["brief"]


def bench(*arguments):
    return CliRunner().invoke(cli.main, [str(argument) for argument in arguments])


def brief(*arguments):
    return bench("run", "--effort", "brief", *arguments)


@pytest.fixture
def measured(tiny_bundle, tiny_data, tmp_path):
    kept = tmp_path / "bench.json"
    ended = brief(tiny_bundle, "--data", tiny_data, "--json", kept, "--threads", 1, "--allow-noisy", *SOME)
    assert ended.exit_code == 0, ended.output
    return ended, read_result(kept)


def test_a_run_prints_a_row_for_every_precision_and_says_what_parity_is_against(measured):
    printed, _ = measured
    assert f"{HERE} fp32" in printed.stdout
    assert f"{HERE} fp16" in printed.stdout
    assert "no checkpoint given" in printed.stdout


def test_the_json_holds_the_raw_samples_that_the_figures_were_made_of(measured):
    _, result = measured
    for row in result.rows:
        figures, samples = row.speed.end_to_end, row.speed.samples
        assert figures.num_samples == len(samples.wall_ns) >= 2 * BRIEF.rounds.num_rounds
        assert figures.min_s == pytest.approx(min(samples.wall_ns) / 1e9)
        assert all(0 < backend <= wall for backend, wall in zip(samples.backend_ns, samples.wall_ns, strict=True))
        assert set(samples.round) == set(range(BRIEF.rounds.num_rounds))


def test_host_and_backend_make_up_the_whole(measured):
    _, result = measured
    speed = result.rows[0].speed
    assert speed.backend.mean_s + speed.host.mean_s == pytest.approx(speed.end_to_end.mean_s)


def test_what_this_machine_cannot_run_is_named_and_is_no_failure(measured):
    _, result = measured
    assert set(result.absent) == {"onnxruntime-cuda fp32", "onnxruntime-cuda fp16"}


def test_a_brief_run_says_that_it_is_brief(measured):
    printed, result = measured
    assert result.effort == "brief"
    assert "effort brief: a first look" in printed.stdout


def test_accuracy_is_the_named_protocols_over_the_frames(measured):
    _, result = measured
    assert {row.accuracy.protocol for row in result.rows} == {"seed"}
    # the truth is the colours' depth plus 0.3 to 1.0 m, of which JPEG and the clip at 20 m change a centimetre or so
    assert result.rows[0].accuracy.values["rmse_m"] == pytest.approx(0.69, abs=0.03)


def ranking_of(bundle):
    return get_ranking(read_bundle(bundle).manifest.members["graphs/fp32.onnx"].sha256)


def test_a_full_run_is_kept_for_the_automatic_choice_exactly_when_it_is_valid(tiny_bundle, tiny_data, tmp_path):
    ended = brief(tiny_bundle, "--data", tiny_data, "--allow-noisy", "--json", tmp_path / "bench.json")
    assert ended.exit_code == 0, ended.output
    result = read_result(tmp_path / "bench.json")
    assert (ranking_of(tiny_bundle) is not None) == (result.invalid_because == ())


def test_the_ranking_holds_every_faithful_candidate_that_ran(measured, tiny_bundle):
    keep_ranking(dataclasses.replace(measured[1], invalid_because=()), is_ranking=True)
    ranked = {(row.backend, row.precision) for row in ranking_of(tiny_bundle).fastest_first}
    assert ranked == {(HERE, "fp32"), (HERE, "fp16")}


@pytest.mark.parametrize(("invalid_because", "is_ranking"), [(("it drifted",), True), ((), False)])
def test_a_run_that_is_not_valid_or_not_of_all_is_not_kept(measured, tiny_bundle, invalid_because, is_ranking):
    keep_ranking(dataclasses.replace(measured[1], invalid_because=invalid_because), is_ranking=is_ranking)
    assert ranking_of(tiny_bundle) is None


def test_only_a_run_of_all_candidates_on_the_default_threads_ranks_them(tiny_bundle, tiny_data):
    excerpt = Excerpt(tiny_data, None, 2)
    assert plan_run(tiny_bundle, None, excerpt, "seed", effort=BRIEF).is_ranking
    assert not plan_run(tiny_bundle, None, excerpt, "seed", 1, effort=BRIEF).is_ranking
    assert not plan_run(tiny_bundle, None, excerpt, "seed", effort=BRIEF, only=("openvino *",)).is_ranking


def test_figures_that_never_settle_make_no_valid_result(tiny_plan, badly):
    result = carry_out(tiny_plan(badly("steady"), rounds=dataclasses.replace(BRIEF.rounds, settled_share=0.0))).result
    (said,) = result.invalid_because  # nothing is that steady
    assert re.search(r"^steady: .* (moved by|wide)", said)


def test_a_graph_that_is_not_the_references_depth_is_named_and_not_kept(make_bundle, tiny_graph, tiny_data):
    wrong = make_bundle(graphs={"fp32": tiny_graph(), "fp16": tiny_graph("FLOAT16", offset_m=0.1)})
    result = brief(wrong, "--data", tiny_data, "--allow-noisy", *SOME)
    assert result.exit_code == 0, result.output
    assert f"NOT USED: {HERE} fp16 differs from the reference: RMSE of the worst frame is 0.1" in result.stdout


def test_a_run_without_anything_to_ship_ends_with_1(make_bundle, tiny_graph, tiny_data):
    model = onnx.load_from_string(tiny_graph())
    model.graph.node[0].op_type = "Abacus"  # no backend has it
    broken = make_bundle(graphs={"fp32": model.SerializeToString()})
    ended = brief(broken, "--data", tiny_data, "--allow-noisy", *SOME)
    assert ended.exit_code == 1, ended.output
    assert "none finished" in ended.stderr


def test_more_frames_than_memory_is_meant_for_are_refused_with_the_remedy(tiny_contract, tiny_data):
    with pytest.raises(UsageError, match=r"use 3 or fewer, .* mde-bench accuracy"):
        open_scene(Excerpt(tiny_data, None, 4), tiny_contract.source, max_pixels=3 * 24 * 32)


def test_as_many_frames_as_memory_is_meant_for_are_read(tiny_contract, tiny_data):
    scene = open_scene(Excerpt(tiny_data, None, 3), tiny_contract.source, max_pixels=3 * 24 * 32)
    assert len(scene.frames) == 3


def test_frames_of_another_size_are_refused_with_the_remedy(tiny_bundle, tiny_data):
    for path in (tiny_data / "rgb" / "val").iterdir():
        Image.open(path).resize((32, 48)).save(path)
    for path in (tiny_data / "depth" / "val").iterdir():
        np.save(path, np.load(path).repeat(2, axis=0))
    result = brief(tiny_bundle, "--data", tiny_data)
    assert result.exit_code == 3
    assert "the frame has 48x32 px, the model takes 24x32 px" in result.stderr
    assert "--source-size" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "exit_code", "said"),
    [
        (("--protocol", "nonsense"), 2, "'nonsense' is not one of 'auto'"),
        (("--split", "nonsense"), 3, "no split 'nonsense'"),
        (("--frames", "0"), 2, "'--frames'"),
        (("--threads", "0"), 2, "'--threads'"),
        (("--mode", "paced", "--fps", "0"), 2, "'--fps'"),
        (("--mode", "sustained", "--minutes", "0"), 2, "'--minutes'"),
        (("--mode", "sustained", "--minutes", "-1"), 2, "'--minutes'"),
        (("--only", "nonsense"), 2, "no candidate matches nonsense"),
        (("--effort", "nonsense"), 2, "'--effort'"),
    ],
)
def test_what_does_not_exist_is_refused_before_anything_runs(
    tiny_bundle, tiny_data, tmp_path, arguments, exit_code, said
):
    result = brief(tiny_bundle, "--data", tiny_data, "--json", tmp_path / "bench.json", *arguments)
    assert result.exit_code == exit_code
    assert said in result.stderr
    assert not (tmp_path / "bench.json").exists()


def test_truth_that_the_protocol_refuses_is_refused_before_anything_runs(tiny_bundle, tiny_data, tmp_path):
    path = tiny_data / "depth" / "val" / "5.npy"
    truth_m = np.load(path)
    truth_m[3:5, 7] = 0
    np.save(path, truth_m)
    result = brief(tiny_bundle, "--data", tiny_data, "--json", tmp_path / "bench.json")
    assert result.exit_code == 3
    assert "protocol seed, frame 5: 2 pixels of the ground truth were not measured" in result.stderr
    assert not (tmp_path / "bench.json").exists()


def test_a_result_of_another_schema_is_refused(measured, tmp_path):
    later = dataclasses.replace(measured[1], schema=99)
    (tmp_path / "later.json").write_text(records.dumps(later))
    with pytest.raises(BadInputError, match="measure again"):
        read_result(tmp_path / "later.json")
