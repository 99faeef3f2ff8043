"""NVIDIA's driver, asked without CUDA being loaded: a GPU's name, state, memory and datasheet.

Not run on a GPU by this project yet; the tests give it a `nvidia-smi` and a driver of their own.
"""

import ctypes
import shutil
import subprocess
from dataclasses import dataclass

from mde_runtime.errors import MachineError

FIELDS = "clocks.sm,temperature.gpu,clocks_throttle_reasons.hw_slowdown,clocks_throttle_reasons.sw_thermal_slowdown"
TIMEOUT_S = 10
DRIVER = "libcuda.so.1"
NAME_BYTES = 256

# Attributes of cuDeviceGetAttribute.
CLOCK_KHZ, NUM_MULTIPROCESSORS, MEMORY_CLOCK_KHZ, BUS_WIDTH_BITS, MAJOR, MINOR = 13, 16, 36, 37, 75, 76
INTEGRATED = 18


@dataclass(frozen=True)
class GpuMoment:
    """A GPU as it is now. None: it does not say."""

    clock_hz: float | None
    temperature_c: float | None
    is_throttled: bool | None  # slowed down to stay cool, or because power failed


@dataclass(frozen=True)
class GpuSpec:
    """A GPU's datasheet, as its driver knows it."""

    compute_capability: str
    num_multiprocessors: int
    clock_hz: float  # the highest
    memory_bytes_per_s: float | None


def gpu_moment() -> GpuMoment | None:
    """The first GPU's state; None where there is no nvidia-smi."""
    words = [word.strip() for line in _asked(f"--query-gpu={FIELDS}")[:1] for word in line.split(",")]
    if len(words) != len(FIELDS.split(",")):
        return None
    clock, temperature, *slowed = words
    known = [word == "Active" for word in slowed if word in ("Active", "Not Active")]
    return GpuMoment(
        clock_hz=1e6 * float(clock) if _is_number(clock) else None,
        temperature_c=float(temperature) if _is_number(temperature) else None,
        is_throttled=any(known) if known else None,
    )


def memory_bytes_of(pid: int) -> int | None:
    """What a process holds of the GPU's memory; None where the driver does not tell (Jetson, some containers)."""
    for line in _asked("--query-compute-apps=pid,used_memory"):
        number, _, mebibytes = line.partition(",")
        if number.strip() == str(pid) and _is_number(mebibytes):
            return int(mebibytes) << 20
    return None


def open_driver(name: str = DRIVER) -> ctypes.CDLL:
    """CUDA's driver, initialised, whether or not a binding is installed. Raises MachineError where no GPU is."""
    try:
        driver = ctypes.CDLL(name)
    except OSError as error:
        raise MachineError("no NVIDIA GPU here (its driver is not installed); run this where there is one") from error
    count = ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
        raise MachineError("no NVIDIA GPU here (the driver sees none); run this where there is one")
    return driver


def gpu_name() -> str:
    """The first GPU that CUDA shows. Raises MachineError where there is none."""
    name = ctypes.create_string_buffer(NAME_BYTES)
    open_driver().cuDeviceGetName(name, NAME_BYTES, 0)
    return name.value.decode()


def gpu_spec(driver_name: str = DRIVER) -> GpuSpec | None:
    """The first GPU that CUDA shows; None where there is none."""
    try:
        driver = open_driver(driver_name)
    except MachineError:
        return None
    device = ctypes.c_int()
    if driver.cuDeviceGet(ctypes.byref(device), 0):
        return None

    def attribute(number: int) -> int:
        value = ctypes.c_int()
        is_unknown = driver.cuDeviceGetAttribute(ctypes.byref(value), number, device)
        return 0 if is_unknown else value.value

    # An integrated GPU's driver tells the clock and the width of something else than the memory that it shares.
    bytes_per_s = (
        0.0 if attribute(INTEGRATED) else 2 * 1e3 * attribute(MEMORY_CLOCK_KHZ) * attribute(BUS_WIDTH_BITS) / 8
    )  # both edges of the clock
    return GpuSpec(
        compute_capability=f"{attribute(MAJOR)}.{attribute(MINOR)}",
        num_multiprocessors=attribute(NUM_MULTIPROCESSORS),
        clock_hz=1e3 * attribute(CLOCK_KHZ),
        memory_bytes_per_s=bytes_per_s or None,
    )


def _asked(query: str) -> list[str]:
    if not (program := shutil.which("nvidia-smi")):
        return []
    command = [program, query, "--format=csv,noheader,nounits"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    return ended.stdout.splitlines() if ended.returncode == 0 else []


def _is_number(word: str) -> bool:
    return word.strip().replace(".", "", 1).isdigit()
