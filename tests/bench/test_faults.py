"""A candidate may do anything: it costs its own row, is named, and the others are measured."""

import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from mde_bench.accuracy.frames import put_frames
from mde_bench.findings import Findings
from mde_bench.result.result import read_result, save
from mde_bench.run import carry_out
from mde_bench.timing.interleave import Window, attempt
from mde_bench.timing.samples import Call, Samples
from mde_bench.timing.worker import CandidateError, Worker

PREDICTED = 8  # the tiny data's frames: a fault after so many calls strikes in the middle of the measurement


def test_one_that_behaves_is_measured(tiny_plan, badly):
    (row,) = carry_out(tiny_plan(badly("steady"))).result.rows
    assert row.failure is None
    assert row.speed.end_to_end.num_samples >= 8
    assert 150e-6 < row.speed.backend.p50_s <= row.speed.end_to_end.p50_s


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("crash", "killed by SIGSEGV"),
        ("raise", "RuntimeError: the kernel found no"),
        ("nan", "NaN or Inf"),
        ("wrong_shape", "gave float32 (23, 32)"),
        ("wrong_dtype", "gave float64 (24, 32)"),
    ],
)
def test_a_fault_costs_only_its_own_row(tiny_plan, badly, fault, reason):
    bad = dataclasses.replace(badly("steady", fault=fault, fault_at=3), name="bad")
    good, failed = carry_out(tiny_plan(badly("steady"), bad)).result.rows
    assert good.failure is None
    assert good.speed is not None
    assert reason in failed.failure
    assert failed.speed is None


def test_one_that_hangs_is_ended_and_named(tiny_plan, badly):
    bad = dataclasses.replace(badly("steady", fault="hang", fault_at=3), name="bad")
    good, failed = carry_out(tiny_plan(badly("steady"), bad, call_timeout_s=5)).result.rows
    assert "did not respond" in failed.failure
    assert good.speed is not None


@pytest.mark.parametrize(("fault", "reason"), [("crash", "SIGSEGV"), ("raise", "RuntimeError")])
def test_one_that_fails_while_it_is_measured_keeps_what_was_found_before(tiny_plan, badly, fault, reason):
    bad = dataclasses.replace(badly("steady", fault=fault, fault_at=PREDICTED + 5), name="bad")
    good, failed = carry_out(tiny_plan(badly("steady"), bad)).result.rows
    assert reason in failed.failure
    assert failed.speed is None
    assert failed.parity.rmse_m == 0
    assert good.speed is not None


def test_one_that_dies_right_after_its_window_costs_only_its_own_row(tiny_plan, badly):
    bad = dataclasses.replace(badly("dies_on_its_device"), name="bad", backend="onnxruntime-cuda")
    good, failed = carry_out(tiny_plan(badly("steady"), bad)).result.rows
    assert failed.failure == "its process exited with code 7"
    assert failed.speed.device is None
    assert good.failure is None
    assert good.speed is not None


def test_a_candidate_whose_process_is_gone_is_taken_out_with_the_reason(badly, tmp_path):
    put_frames(tmp_path, np.zeros((1, 24, 32, 3), np.uint8))
    failures = {}
    with Worker(badly("exits_when_opened"), tmp_path) as worker:
        with pytest.raises(CandidateError):
            worker.opened()
        running = {"bad": worker}
        assert attempt("bad", running, failures, Worker.peak_memory_bytes) is None
    assert running == {}
    assert failures == {"bad": "its process exited with code 7"}


def test_without_its_memory_a_candidate_has_no_speed(tiny_plan, badly):
    plan = tiny_plan(badly("steady"))
    samples = Samples.of([[Call(2000, 1000, 1500, 0)]])
    findings = Findings(window=Window({"steady": samples}, {}, {}, 0), failures={"steady": "ended"})
    (row,) = findings.result(plan, is_complete=True).rows
    assert (row.speed, row.failure) == (None, "ended")


def test_a_wrong_depth_is_a_breach_of_its_precisions_limits(tiny_plan, badly):
    bad = dataclasses.replace(badly("steady", fault="wrong_depth"), name="bad")
    good, wrong = carry_out(tiny_plan(badly("steady"), bad)).result.rows
    assert wrong.parity.bias_m == pytest.approx(0.5, abs=1e-6)
    assert any("RMSE of the worst frame is 0.5000 m" in breach for breach in wrong.parity_breaches)
    assert good.parity_breaches == ()


def test_one_that_dies_while_it_opens_is_named(tiny_plan, badly):
    good, failed = carry_out(tiny_plan(badly("steady"), badly("exits_when_opened"))).result.rows
    assert failed.failure == "its process exited with code 7"
    assert failed.executor is None
    assert good.speed is not None


def test_one_that_this_machine_cannot_run_is_no_failure(tiny_plan, badly):
    result = carry_out(tiny_plan(badly("steady"), badly("absent"))).result
    assert result.absent == {"absent": "this machine has no abacus; buy one"}
    assert [row.name for row in result.rows] == ["steady"]


def test_what_a_library_prints_stays_out_of_the_results(tiny_plan, badly, capfd):
    carry_out(tiny_plan(badly("talks")))
    assert "banner" not in "".join(capfd.readouterr())


def test_without_its_reference_a_run_still_says_how_fast_and_how_right(tiny_plan, badly):
    bad = dataclasses.replace(badly("steady", fault="crash"), name="bad")
    failed, good = carry_out(tiny_plan(bad, badly("steady"))).result.rows
    assert failed.failure is not None
    assert good.parity is None
    assert good.speed.ratio is None
    assert np.isfinite(good.accuracy.values["rmse_m"])


def test_a_run_that_is_ended_half_way_has_given_what_it_had(tiny_plan, badly):
    given = []
    with pytest.raises(KeyboardInterrupt):
        carry_out(tiny_plan(badly("steady")), lambda result: given.append(result) or interrupt())
    assert given[0].is_complete is False
    assert given[0].rows[0].accuracy is not None


def test_a_stream_gets_the_result_once_when_it_is_complete(tiny_plan, badly, tmp_path):
    fifo, got = tmp_path / "fifo", []
    os.mkfifo(fifo)
    reader = threading.Thread(target=lambda: got.append(fifo.read_bytes()), daemon=True)
    reader.start()
    result = carry_out(tiny_plan(badly("steady")), lambda result: save(result, fifo)).result
    reader.join()
    (tmp_path / "got.json").write_bytes(got[0])
    assert read_result(tmp_path / "got.json") == result


def interrupt():
    raise KeyboardInterrupt


def test_frames_reach_a_worker_as_the_data_set_has_them(tiny_plan, badly):
    plan = tiny_plan(badly("steady"))
    predicted = carry_out(plan).predictions["steady"].depth_m
    np.testing.assert_allclose(predicted, plan.scene.frames.mean(axis=-1) * (20 / 255), atol=1e-4)  # float32 of 20 m


def test_a_run_that_is_killed_leaves_a_file_of_what_it_had(tiny_bundle, tiny_data, tmp_path):
    kept = tmp_path / "bench.json"
    command = [sys.executable, "-c", "from mde_bench.cli import main; main()", "run", tiny_bundle]
    process = subprocess.Popen(
        [*command, "--data", tiny_data, "--json", kept, "--only", "onnxruntime-cpu *"], start_new_session=True
    )
    while not kept.exists() and process.poll() is None:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    result = read_result(kept)
    assert result.is_complete is False
    assert all(row.accuracy for row in result.rows)
