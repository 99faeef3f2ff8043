import os
import subprocess
import sys

from mde_bench.gpu_check import GpuCheck, Line, as_markdown, line_of_training, lines_of_tests
from mde_runtime.machine import this_machine


def test_without_a_gpu_it_says_so_and_ends_with_4(tmp_path):
    ended = subprocess.run(
        [sys.executable, "-m", "mde_bench.gpu_check", "--out", tmp_path],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},  # a machine with a GPU hides it
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (4, "")
    assert "no NVIDIA GPU here" in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_each_failed_or_skipped_test_has_its_own_line():
    report = """<testsuites><testsuite>
        <testcase classname="tests.a" name="test_1"/>
        <testcase classname="tests.a" name="test_2"><failure message="off by 3 m&#10;and more"/></testcase>
        <testcase classname="tests.b" name="test_3"><skipped message="no TensorRT"/></testcase>
    </testsuite></testsuites>"""
    assert [(line.what, line.verdict, line.detail) for line in lines_of_tests(report)] == [
        ("tests.a::test_2", "failed", "off by 3 m"),
        ("tests.b::test_3", "absent", "no TensorRT"),
        ("1 of 3 tests", "passed", ""),
    ]


def test_training_is_told_by_its_pace_and_its_last_error():
    curves = (
        "step,minutes,name,value\n10,0.1,loss,3\n30,0.25,val_rmse_m,1.5\n60,0.5,val_rmse_m,1.25\n60,0.5,val_ssim,0.9\n"
    )
    assert line_of_training(curves).figures == {"steps_per_s": 2.0, "val_rmse_m": 1.25}


def test_the_table_has_a_row_a_line():
    lines = (
        Line("bench", "tensorrt fp16", "passed", {"p50_ms": 1.5}, "TensorRT 10.3"),
        Line("train", "train", "absent", {}, "a | b"),
    )
    table = as_markdown(GpuCheck(1, "mde-toolchain 0", this_machine(), "Orin", lines)).splitlines()
    assert table[0].startswith("Orin, ")
    assert table[2:] == [
        "| part | what | verdict | figures | detail |",
        "| --- | --- | --- | --- | --- |",
        "| bench | tensorrt fp16 | passed | p50_ms 1.5 | TensorRT 10.3 |",
        r"| train | train | absent |  | a \| b |",
    ]
