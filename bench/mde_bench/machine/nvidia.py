"""CUDA's driver, asked without a binding: the name, number and datasheet of the first GPU that CUDA shows.

Not run on a GPU by this project yet; the tests give it a stand-in of the driver.
"""

import ctypes
import functools
import os
import uuid
from dataclasses import dataclass

from mde_runtime.errors import MachineError

DRIVER = "nvcuda.dll" if os.name == "nt" else "libcuda.so.1"
NAME_BYTES = 256
UUID_BYTES = 16

# Attributes of cuDeviceGetAttribute.
CLOCK_KHZ, NUM_MULTIPROCESSORS, MEMORY_CLOCK_KHZ, BUS_WIDTH_BITS, MAJOR, MINOR = 13, 16, 36, 37, 75, 76
INTEGRATED = 18


@dataclass(frozen=True)
class GpuSpec:
    """A GPU's datasheet, as its driver knows it."""

    compute_capability: str
    num_multiprocessors: int
    clock_hz: float  # the highest
    memory_bytes_per_s: float | None


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
