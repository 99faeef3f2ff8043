import importlib.metadata
import json
import sys
import types

import pytest

from mde_runtime.cli.doctor import main
from mde_runtime.machine import integrated_gpu_clocks_hz


def rows(command):
    return {row["what"]: row for row in json.loads(command(main, "--json").stdout)}


def test_each_backend_is_tried_and_each_gap_has_its_remedy(command):
    found = rows(command)
    assert found["onnxruntime-cpu"]["state"] == "yes"
    assert "CPUExecutionProvider" in found["onnxruntime-cpu"]["detail"]
    assert all(row["remedy"] for row in found.values() if row["state"] != "yes")


def test_the_row_of_a_gap_begins_with_its_remedy(command):
    (gap, *_) = (row for row in rows(command).values() if row["state"] == "no")
    (line,) = (line for line in command(main).stdout.splitlines() if line.startswith(f"{gap['what']} "))
    assert line.split(None, 2)[2] == f"{gap['remedy']} ({gap['detail']})"


def test_two_onnxruntimes_over_each_other_are_found(command, monkeypatch):
    real = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: "1.31.1" if name == "onnxruntime-gpu" else real(name)
    )
    found = rows(command)["onnxruntime"]
    assert found["state"] == "problem"
    assert "pip uninstall onnxruntime onnxruntime-gpu" in found["remedy"]


def test_one_onnxruntime_is_left_alone(command):
    assert "onnxruntime" not in rows(command)


def test_a_cache_that_others_may_write_to_is_a_problem(command, tmp_path, monkeypatch):
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    monkeypatch.setenv("MDE_CACHE", str(tmp_path / "open"))
    found = rows(command)["cache"]
    assert (found["state"], "chmod 700" in found["remedy"]) == ("no", True)


@pytest.mark.parametrize(
    ("version", "state"),
    [
        ("10.3.0.30", "problem"),
        ("10.30.0", "yes"),
        ("10.7.0", "problem"),
        ("10.16.1.11", "problem"),
        ("10.13.3.9", "yes"),
    ],
)
def test_a_tensorrt_that_is_known_for_wrong_depth_is_a_problem(command, monkeypatch, version, state):
    monkeypatch.setitem(sys.modules, "tensorrt", types.SimpleNamespace(__version__=version))
    found = rows(command)["tensorrt"]
    assert (found["state"], version in found["detail"]) == (state, True)
    assert ("trust only verified engines" in found["remedy"]) == (state == "problem")


@pytest.mark.gpu
def test_a_gpu_is_found(command):
    found = rows(command)
    if found["CUDA"]["state"] != "yes":
        pytest.skip(found["CUDA"]["detail"])
    assert found["GPU"]["state"] == "yes"


def test_the_clock_of_a_boards_gpu_is_its_systems(tmp_path):
    gpu = tmp_path / "17000000.gpu"
    gpu.mkdir()
    assert integrated_gpu_clocks_hz(tmp_path) is None
    (gpu / "cur_freq").write_text("306000000\n")
    (gpu / "max_freq").write_text("1300500000\n")
    assert integrated_gpu_clocks_hz(tmp_path) == (306e6, 1300.5e6)
