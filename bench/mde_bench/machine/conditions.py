"""The conditions of a measurement: without them a latency says nothing to anybody else."""

import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from mde_bench.machine.nvml import GpuMoment, gpu_moment
from mde_runtime.machine import Machine, this_machine

CPUS = Path("/sys/devices/system/cpu")
THERMAL_ZONES = Path("/sys/class/thermal")
MONITORS = Path("/sys/class/hwmon")  # a Jetson counts there how often it slowed down for want of current
LIBRARIES = (
    "mde-toolchain",
    "numpy",
    "torch",
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "tensorrt",
    "tensorrt-rtx",
)


@dataclass(frozen=True)
class Moment:
    """What changes while one measures. None: the system does not say."""

    load_average: float | None  # of the last minute
    clock_hz: float | None  # mean of the cores
    temperature_c: float | None  # of the hottest zone
    num_throttled: int | None  # times that the machine slowed down to stay cool or within its current, since its start
    gpu: GpuMoment | None = None  # None: neither NVML nor the system tells


@dataclass(frozen=True)
class Conditions:
    """The machine, its settings and its libraries, and the moments before and after."""

    machine: Machine
    num_threads: int
    governor: str | None
    power_mode: str | None  # of a Jetson
    python: str
    libraries: dict[str, str]
    before: Moment
    after: Moment

    @property
    def threads(self) -> str:
        """The number of threads, in words."""
        return f"{self.num_threads} thread{'s' if self.num_threads > 1 else ''}"

    @property
    def has_throttled(self) -> bool:
        """Whether the processor or the GPU slowed down to stay cool while we measured."""
        before, after = self.before.num_throttled, self.after.num_throttled
        is_gpu_throttled = any(
            moment.gpu is not None and moment.gpu.is_throttled for moment in (self.before, self.after)
        )
        return is_gpu_throttled or (before is not None and after is not None and after > before)


def moment() -> Moment:
    """The machine as it is now."""
    clocks = [1e3 * khz for khz in _numbers(CPUS.glob("cpu[0-9]*/cpufreq/scaling_cur_freq"))] or _clocks_of_cpuinfo()
    temperatures = [value / 1e3 for value in _numbers(THERMAL_ZONES.glob("thermal_zone*/temp"))]
    throttled = _numbers(CPUS.glob("cpu[0-9]*/thermal_throttle/*_throttle_count"))
    throttled += _numbers(MONITORS.glob("hwmon*/oc*_event_cnt"))
    return Moment(
        load_average=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        clock_hz=sum(clocks) / len(clocks) if clocks else None,
        temperature_c=max(temperatures, default=None),
        num_throttled=int(sum(throttled)) if throttled else None,
        gpu=gpu_moment(),
    )


def num_idle_cores() -> int:
    """How many cores are likely free, 1 at least: a thread too many makes all of them wait for the one that was not."""
    load = moment().load_average or 0
    return max(1, round(this_machine().num_cores - load))


def conditions(num_threads: int, before: Moment, after: Moment) -> Conditions:
    """The conditions of a measurement."""
    return Conditions(
        machine=this_machine(),
        num_threads=num_threads,
        governor=_text(CPUS / "cpu0/cpufreq/scaling_governor"),
        power_mode=_jetson_power_mode(),
        python=platform.python_version(),
        libraries={name: version for name in LIBRARIES if (version := _version(name))},
        before=before,
        after=after,
    )


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _jetson_power_mode() -> str | None:
    if not shutil.which("nvpmodel"):
        return None
    said = subprocess.run(["nvpmodel", "-q"], capture_output=True, text=True, timeout=10, check=False).stdout
    return " ".join(said.split()) or None


def _clocks_of_cpuinfo() -> list[float]:
    lines = (_text(Path("/proc/cpuinfo")) or "").splitlines()
    return [1e6 * float(line.partition(":")[2]) for line in lines if line.startswith("cpu MHz")]


def _numbers(paths: Iterator[Path]) -> list[float]:
    return [float(text) for path in paths if (text := _text(path))]


def _text(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:  # not every system has it, and some show it to root alone
        return None
