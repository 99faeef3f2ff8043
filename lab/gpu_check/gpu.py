"""Which GPU is here."""

import ctypes

from mde_runtime.errors import MachineError


def gpu_name() -> str:
    """The first GPU that CUDA shows. Asks the driver itself: neither torch nor a binding has to be installed."""
    name, count = ctypes.create_string_buffer(256), ctypes.c_int(0)
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        raise MachineError("no NVIDIA GPU here (its driver is not installed); run this where there is one") from error
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
        raise MachineError("no NVIDIA GPU here (the driver sees none); run this where there is one")
    driver.cuDeviceGetName(name, len(name), 0)
    return name.value.decode()
