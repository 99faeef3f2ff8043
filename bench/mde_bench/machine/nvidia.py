"""NVIDIA's driver, asked without CUDA being loaded: a GPU's name, state, memory and datasheet.

Not run on a GPU by this project yet; the tests give it a `nvidia-smi` and a driver of their own.
"""

import ctypes
import functools
import shutil
import subprocess
import uuid
from dataclasses import dataclass

from mde_runtime.errors import MachineError
from mde_runtime.machine import integrated_gpu_clocks_hz

FIELDS = tuple(  # as drivers since R535 call them, and as those before
    f"clocks.sm,temperature.gpu,{reasons}.hw_slowdown,{reasons}.sw_thermal_slowdown"
    for reasons in ("clocks_event_reasons", "clocks_throttle_reasons")
)
TIMEOUT_S = 10
DRIVER = "libcuda.so.1"
NAME_BYTES = 256
UUID_BYTES = 16

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
    """The state of the first GPU that CUDA shows; None where neither nvidia-smi nor the system tells.

    nvidia-smi counts by slot and CUDA by speed, so it is asked by the GPU's own number.
    """
    chosen = [f"--id={number}"] if (number := gpu_uuid()) else []
    clocks = integrated_gpu_clocks_hz()
    for fields in FIELDS:
        words = [word.strip() for line in _asked(f"--query-gpu={fields}", *chosen)[:1] for word in line.split(",")]
        if len(words) == len(fields.split(",")):
            return _moment_of(words, clocks)
    return GpuMoment(clocks[0], None, None) if clocks else None


def _moment_of(words: list[str], clocks: tuple[float, float] | None) -> GpuMoment:
    """What nvidia-smi said; the clock that it does not know on a Jetson is the system's."""
    clock, temperature, *slowed = words
    known = [word == "Active" for word in slowed if word in ("Active", "Not Active")]
    return GpuMoment(
        clock_hz=1e6 * float(clock) if _is_number(clock) else clocks[0] if clocks else None,
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


@functools.cache
def gpu_uuid(driver_name: str = DRIVER) -> str | None:
    """The number of the first GPU that CUDA shows, as NVIDIA's tools write it; None where there is none."""
    try:
        driver = open_driver(driver_name)
    except MachineError:
        return None
    device, number = ctypes.c_int(), (ctypes.c_ubyte * UUID_BYTES)()
    if driver.cuDeviceGet(ctypes.byref(device), 0) or driver.cuDeviceGetUuid(number, device):
        return None
    return f"GPU-{uuid.UUID(bytes=bytes(number))}"


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


def _asked(query: str, *chosen: str) -> list[str]:
    if not (program := shutil.which("nvidia-smi")):
        return []
    command = [program, query, *chosen, "--format=csv,noheader,nounits"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    return ended.stdout.splitlines() if ended.returncode == 0 else []


def _is_number(word: str) -> bool:
    return word.strip().replace(".", "", 1).isdigit()
