"""The first GPU that CUDA shows, asked without a binding: the one that NVIDIA's tools are then asked about."""

import subprocess
import sys

import pytest

from mde_bench.machine.nvidia import gpu_spec, gpu_uuid
from mde_runtime.cuda import open_cuda
from mde_runtime.machine import gpu_name

pytestmark = pytest.mark.gpu


def test_the_tool_is_asked_about_the_gpu_that_cuda_uses():
    assert gpu_uuid() == "GPU-11111111-1111-1111-1111-111111111111"  # of the stand-in's first


def test_a_card_tells_its_memorys_speed_and_a_shared_memory_has_none(monkeypatch):
    assert gpu_spec().memory_bytes_per_s == pytest.approx(4.917e12, rel=0.001)  # an H200's data sheet
    monkeypatch.setenv("FAKE_CUDA_CHIP", "orin")
    asked = "from mde_bench.machine.nvidia import gpu_spec; print(gpu_spec().memory_bytes_per_s)"
    assert subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True).stdout == "None\n"


def test_the_name_and_the_place_are_those_of_cudas_first(monkeypatch):
    assert gpu_name() == open_cuda().gpu().name
    assert open_cuda().pci_bus_id() == "0000:01:00.0"  # of the stand-in's first
    monkeypatch.setenv("FAKE_CUDA_DEVICES", "0")
    asked = "from mde_runtime.machine import gpu_name; print(gpu_name())"
    said = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True).stdout
    assert said.strip() != gpu_name()
