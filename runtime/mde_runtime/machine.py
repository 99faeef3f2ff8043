"""The identity of this machine's CPU in records: figures and verifications hold for one chip and instruction set."""

import ctypes
import functools
import os
import platform
from dataclasses import dataclass
from pathlib import Path

# What changes the arithmetic or the speed of a network: vectors, half, bfloat16, integer dot products, matrix tiles.
TELLING_FLAGS = (
    *("avx", "avx2", "fma", "f16c", "avx_vnni"),
    *("avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16", "amx_fp16"),
    *("asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2", "sme"),
)

DRIVER = "nvcuda.dll" if os.name == "nt" else "libcuda.so.1"  # CUDA's
NAME_BYTES = 256
DEVFREQ = Path("/sys/class/devfreq")  # where a Jetson's system tells the clock of its GPU, 17000000.gpu or the like


@dataclass(frozen=True)
class Machine:
    """A CPU as records name it."""

    cpu: str
    num_cores: int  # that this process may use
    instruction_set: tuple[str, ...]  # of TELLING_FLAGS, in that order
    system: str  # operating system and architecture


@functools.cache
def this_machine() -> Machine:
    """The machine that this process runs on."""
    described = _cpuinfo(Path("/proc/cpuinfo"))
    flags = set(f"{described.get('flags', '')} {described.get('Features', '')}".split())
    return Machine(
        cpu=described.get("model name") or _board() or platform.processor() or platform.machine(),
        num_cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        instruction_set=tuple(flag for flag in TELLING_FLAGS if flag in flags),
        system=f"{platform.system()} {platform.machine()}",
    )


def gpu_name() -> str:
    """The first GPU that CUDA shows, by name, without a binding; else the first of the system, or a Jetson's board."""
    if name := _first_of_cuda():
        return name
    for information in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        if model := _cpuinfo(information).get("Model"):
            return model
    return _board() or "NVIDIA GPU"


def _first_of_cuda() -> str:
    """The name of CUDA's first device by its driver, which counts the fastest first; empty where there is none."""
    try:
        driver = ctypes.CDLL(DRIVER)
    except OSError:
        return ""
    name = ctypes.create_string_buffer(NAME_BYTES)
    if driver.cuInit(0) or driver.cuDeviceGetName(name, NAME_BYTES, 0):
        return ""
    return name.value.decode()


def integrated_gpu_clocks_hz(devfreq: Path = DEVFREQ) -> tuple[float, float] | None:
    """The clock of a Jetson's GPU, now and at most; None where the system has no such files."""
    for folder in sorted(devfreq.glob("*g[pb]*")):
        try:
            now, most = (float((folder / name).read_text()) for name in ("cur_freq", "max_freq"))
        except (OSError, ValueError):
            continue
        return now, most
    return None


def _cpuinfo(path: Path) -> dict[str, str]:
    """The first processor's entries; empty where the system has no such file."""
    try:
        lines = path.read_text(errors="replace").split("\n\n")[0].splitlines()
    except OSError:
        return {}
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _board() -> str:
    """The name of an ARM board such as a Jetson, whose cpuinfo names no model."""
    try:
        return Path("/proc/device-tree/model").read_text().rstrip("\0\n")
    except OSError:
        return ""
