"""NVIDIA's management library, by the real nvidia-ml-py over a stand-in: the GPU that CUDA uses, and no other."""

import json
import os
import subprocess
import sys
import time

import click.testing
import pytest

from mde_bench.cli import main
from mde_bench.machine.nvml import GpuMoment, energy_j, gpu_moment, memory_bytes_of
from mde_runtime.machine import integrated_gpu_clocks_hz

pytestmark = [pytest.mark.gpu, pytest.mark.any_mode]

HW_SLOWDOWN, TOO_HOT, POWER_CAP, IDLE = 0x08, 0x20, 0x04, 0x01


def bench(*arguments):
    return click.testing.CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(autouse=True)
def _no_jetson():
    if integrated_gpu_clocks_hz():
        pytest.skip("this board tells its own clock")


@pytest.mark.parametrize(
    ("reasons", "is_throttled", "is_power_capped"),
    [
        (0, False, False),
        (IDLE, False, False),
        (HW_SLOWDOWN, True, False),
        (TOO_HOT | POWER_CAP, True, True),
    ],
)
def test_clock_heat_and_the_reasons_for_a_lower_clock_are_told(monkeypatch, reasons, is_throttled, is_power_capped):
    monkeypatch.setenv("FAKE_NVML_REASONS", str(reasons))
    assert gpu_moment() == GpuMoment(1.98e9, 64.0, is_throttled, is_power_capped)


def test_a_driver_that_knows_the_older_name_alone_is_asked_by_it(monkeypatch):
    monkeypatch.setenv("FAKE_NVML_LACKS", "event")
    monkeypatch.setenv("FAKE_NVML_REASONS", str(HW_SLOWDOWN))
    assert gpu_moment().is_throttled


@pytest.mark.parametrize(
    ("lacking", "expected"),
    [
        ("reasons", GpuMoment(1.98e9, 64.0, None, None)),
        ("clock,temperature", GpuMoment(None, None, is_throttled=False, is_power_capped=False)),
        ("clock,temperature,reasons", None),
    ],
)
def test_what_the_library_does_not_tell_is_not_known(monkeypatch, lacking, expected):
    monkeypatch.setenv("FAKE_NVML_LACKS", lacking)
    assert gpu_moment() == expected


def test_energy_is_counted_where_the_card_counts_it(monkeypatch):
    before, start = energy_j(), time.monotonic()
    time.sleep(0.05)
    assert energy_j() - before == pytest.approx(250 * (time.monotonic() - start), rel=0.2)  # it goes on meanwhile
    monkeypatch.setenv("FAKE_NVML_LACKS", "energy")
    assert energy_j() is None


def test_memory_is_told_by_process(monkeypatch):
    assert memory_bytes_of(4711) is None
    monkeypatch.setenv("FAKE_NVML_PROCESSES", "17:100,4711:312,4712:-")
    assert memory_bytes_of(4711) == 312 << 20
    assert memory_bytes_of(4712) is None
    assert memory_bytes_of(1) is None


def test_another_gpu_than_the_one_that_cuda_uses_is_not_asked():
    asked = "from mde_bench.machine.nvml import gpu_moment; print(gpu_moment())"
    for uuid, said in (("GPU-2", "None\n"), (None, "GpuMoment(clock_hz=1980000000")):
        environment = os.environ | ({"FAKE_NVML_UUID": uuid} if uuid else {})
        ended = subprocess.run(
            [sys.executable, "-c", asked], env=environment, capture_output=True, text=True, check=True
        )
        assert ended.stdout.startswith(said)


def test_a_run_on_a_gpu_that_slows_down_is_not_valid(tiny_bundle, tiny_data, tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_NVML_REASONS", str(TOO_HOT))
    kept = tmp_path / "bench.json"
    arguments = (
        tiny_bundle,
        "--data",
        tiny_data,
        "--json",
        kept,
        "--effort",
        "brief",
        "--only",
        "onnxruntime-cpu fp32",
    )
    refused = bench("run", *arguments)
    assert refused.exit_code == 5, refused.output
    assert "throttled" in refused.stderr
    allowed = bench("run", *arguments, "--allow-noisy")
    assert allowed.exit_code == 0, allowed.output
    assert "warning" in allowed.stderr
    found = json.loads(kept.read_text())
    assert any("throttled" in reason for reason in found["invalid_because"])
    assert found["conditions"]["after"]["gpu"]["clock_hz"] == 1.98e9
