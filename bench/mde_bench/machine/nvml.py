"""NVIDIA's management library (NVML): clock, heat, throttling, energy and memory of the GPU that CUDA uses.

Through `nvidia-ml-py`, of the `bench` extra. NVML counts GPUs by slot and CUDA by speed, so the GPU is named by its
UUID. A Jetson's NVML leaves most questions open: there the clock comes from the system. Not run on a GPU by this
project yet; the tests run nvidia-ml-py over a stand-in of the library.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mde_bench.machine.nvidia import gpu_uuid
from mde_runtime.machine import integrated_gpu_clocks_hz

# Bits of the reasons for a lower clock (nvml.h).
POWER_CAP = 0x04
SLOWED_DOWN = 0x08 | 0x20 | 0x40 | 0x80  # by the hardware, its heat (as the driver and the hardware see it), its power


@dataclass(frozen=True)
class GpuMoment:
    """A GPU as it is now. None: it does not say."""

    clock_hz: float | None
    temperature_c: float | None
    is_throttled: bool | None  # slowed down to stay cool, or because power failed
    is_power_capped: bool | None = None  # slowed down to stay within its power, as large ones do at full load


def gpu_moment() -> GpuMoment | None:
    """The state of the first GPU that CUDA shows; None where neither NVML nor the system tells."""
    clocks = integrated_gpu_clocks_hz()
    megahertz = _told(lambda nvml, gpu: nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_SM))
    celsius = _told(lambda nvml, gpu: nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU))
    reasons = _told(lambda nvml, gpu: nvml.nvmlDeviceGetCurrentClocksEventReasons(gpu))
    if reasons is None:  # its name before driver R535
        reasons = _told(lambda nvml, gpu: nvml.nvmlDeviceGetCurrentClocksThrottleReasons(gpu))
    clock_hz = clocks[0] if megahertz is None and clocks else None if megahertz is None else 1e6 * megahertz
    if (clock_hz, celsius, reasons) == (None, None, None):
        return None
    return GpuMoment(
        clock_hz=clock_hz,
        temperature_c=None if celsius is None else float(celsius),
        is_throttled=None if reasons is None else bool(reasons & SLOWED_DOWN),
        is_power_capped=None if reasons is None else bool(reasons & POWER_CAP),
    )


def energy_j() -> float | None:
    """What the whole card used since its driver was loaded; None where it does not count (before Volta, Jetson)."""
    millijoules = _told(lambda nvml, gpu: nvml.nvmlDeviceGetTotalEnergyConsumption(gpu))
    return None if millijoules is None else millijoules / 1e3


def memory_bytes_of(pid: int) -> int | None:
    """What a process holds of the GPU's memory; None where the driver does not tell (Jetson, some containers)."""
    processes = _told(lambda nvml, gpu: nvml.nvmlDeviceGetComputeRunningProcesses(gpu)) or ()
    return next((process.usedGpuMemory for process in processes if process.pid == pid), None)


def _told(question: Callable[[Any, Any], Any]) -> Any:  # Any: nvidia-ml-py publishes no types
    """The answer to a question about the GPU; None where NVML, the GPU or the answer is missing."""
    if (opened := _opened()) is None:
        return None
    nvml, gpu = opened
    try:
        return question(nvml, gpu)
    except nvml.NVMLError:  # not supported, or not known to this driver
        return None


@functools.cache
def _opened() -> tuple[Any, Any] | None:
    """NVML and CUDA's first GPU in it. Once for the process, which ends it."""
    try:
        import pynvml  # what nvidia-ml-py installs
    except ImportError:
        return None
    if (number := gpu_uuid()) is None:
        return None
    try:
        pynvml.nvmlInit()
        return pynvml, pynvml.nvmlDeviceGetHandleByUUID(number)
    except pynvml.NVMLError:
        return None
