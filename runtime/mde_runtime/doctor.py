"""A check of this machine: each ability is tried, and each gap names its remedy."""

import functools
import importlib
import importlib.metadata
import platform
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mde_runtime import installation
from mde_runtime.backends import BACKENDS, LISTED, open_session
from mde_runtime.cache import cache_dir
from mde_runtime.cuda import DRIVERS, NO_DEVICE, NO_DRIVER, TOO_OLD, Cuda, open_cuda
from mde_runtime.engines.flavours import MODULES, version_of
from mde_runtime.engines.known_faults import known_fault
from mde_runtime.errors import MachineError, MdeError
from mde_runtime.machine import integrated_gpu_clocks_hz, this_machine

# An ONNX graph of one Identity, float[1], opset 13, made by onnx: what a backend is tried with.
IDENTITY = (
    b'\x08\x08:9\n\x12\n\x01x\x12\x01y"\x08Identity:\x00\x12\x01gZ\x0f\n\x01x\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01'
    b"b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01B\x04\n\x00\x10\r"
)
ONNXRUNTIMES = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml")
ENGINES = "mde_runtime.backends.tensorrt"

CUDA_REMEDIES = {  # by what the drivers of CUDA say
    NO_DEVICE: NO_DEVICE.partition("; ")[2],
    NO_DRIVER: NO_DRIVER.partition("; ")[2],
    TOO_OLD: "update NVIDIA's driver; on a Jetson, JetPack",
}

State = Literal["yes", "no", "problem"]


@dataclass(frozen=True)
class Finding:
    """A row of the table. `remedy` closes the gap, where there is one."""

    what: str
    state: State
    detail: str
    remedy: str = ""

    @property
    def gap(self) -> str:
        """The remedy first, and in brackets the reason."""
        return f"{self.remedy} ({self.detail})" if self.remedy else self.detail


def examine() -> list[Finding]:
    """Every finding, from the chip up."""
    return [finding for check in CHECKS for finding in check()]


def _chip() -> Iterator[Finding]:
    machine = this_machine()
    flags = ", ".join(machine.instruction_set) or "no flags known"
    yield Finding("CPU", "yes", f"{machine.cpu}, {machine.num_cores} cores, {flags}")
    governor = _text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    if governor and governor != "performance":
        remedy = "for steady figures: sudo cpupower frequency-set -g performance"
        yield Finding("CPU clock", "problem", f"governor {governor}", remedy)
    yield Finding("Python", "yes", f"{platform.python_version()} on {machine.system}")


def _jetson() -> Iterator[Finding]:
    release = _text("/etc/nv_tegra_release")
    if not release:
        return
    yield Finding("Jetson", "yes", f"{_text('/proc/device-tree/model')}, L4T {' '.join(release.split()[1:5])}")
    jetpack = _said("dpkg-query", "--showformat=${Version}", "--show", "nvidia-jetpack")
    if jetpack:
        yield Finding("JetPack", "yes", jetpack)
    else:
        yield Finding("JetPack", "no", "the package nvidia-jetpack is missing", "sudo apt install nvidia-jetpack")
    mode = _said("nvpmodel", "-q")
    yield Finding(
        "power mode", "yes", mode or "nvpmodel does not say", "sudo nvpmodel -p shows the modes, -m ID sets one"
    )


def _gpu() -> Iterator[Finding]:
    driver = _text("/proc/driver/nvidia/version").partition("\n")[0]
    if driver:
        yield Finding("NVIDIA driver", "yes", driver)
    for name, module in DRIVERS.items():
        yield _tried(name, functools.partial(_driver_of, module))
    try:
        cuda = open_cuda()
    except MachineError as error:
        reason = next((reason for reason in CUDA_REMEDIES if reason in str(error)), "")
        detail = reason.partition("; ")[0] or f"neither {' nor '.join(DRIVERS)} loads"
        remedy = CUDA_REMEDIES.get(reason, f"install one of {' and '.join(DRIVERS)}, as above")
        yield Finding("CUDA", "no", detail, remedy)
        return
    gpu = cuda.gpu()
    memory = f"{gpu.memory_bytes / 2**30:.1f} GiB{', shared with the CPU' if gpu.is_integrated else ''}"
    graphs = "captures graphs" if cuda.graphs else "no graphs"
    yield Finding("GPU", "yes", f"{gpu.name}, compute capability {gpu.compute_capability}, {memory}")
    yield Finding("CUDA", "yes", f"{cuda.name}, {graphs}", "" if cuda.graphs else installation.adding("cuda12"))
    if clocks := _gpu_clocks(cuda):
        yield Finding("GPU clock", "yes", clocks)


def _driver_of(module: str) -> str:
    cuda: Cuda = importlib.import_module(module).open()
    return cuda.name


def _gpu_clocks(cuda: Cuda) -> str:
    """The GPU's clock now and at most, MHz: of a card by its driver's tool, of a Jetson by its system files."""
    asked = ("--query-gpu=clocks.sm,clocks.max.sm", "--format=csv,noheader")
    if clocks := integrated_gpu_clocks_hz():
        now, most = clocks
        return f"{now / 1e6:.0f} of {most / 1e6:.0f} MHz; sudo jetson_clocks pins it"
    return _said("nvidia-smi", f"--id={cuda.pci_bus_id()}", *asked)


def _engines() -> Iterator[Finding]:
    for flavour in MODULES:
        found = _tried(flavour, functools.partial(version_of, flavour))
        fault = known_fault(flavour, found.detail) if found.state == "yes" else None
        yield Finding(flavour, "problem", f"{found.detail} {fault.fault}", fault.remedy) if fault else found


def _backends() -> Iterator[Finding]:
    """Every backend that takes a graph; engines are told of by their library."""
    for name in LISTED:
        if BACKENDS[name].module != ENGINES:
            yield _tried(name, functools.partial(_executor_of, name))


def _executor_of(backend: str) -> str:
    session = open_session(backend, IDENTITY)
    session.close()
    return session.executor


def _tried(what: str, attempt: Callable[[], str]) -> Finding:
    """What an attempt tells, or its error: the reason, and after `;` the remedy."""
    try:
        return Finding(what, "yes", attempt())
    except MdeError as error:
        detail, _, remedy = str(error).partition("; ")
        reason = re.fullmatch(rf"{what} cannot be loaded \((.*)\)", detail)  # the row has its name already
        return Finding(what, "no", reason[1] if reason else detail, remedy)


def _packages() -> Iterator[Finding]:
    installed = {name: version for name in ONNXRUNTIMES if (version := _version(name))}
    if len(installed) > 1:
        here = installation.this_installation()
        yield Finding(
            "onnxruntime",
            "problem",
            f"{' and '.join(installed)} are installed over each other: the last one wins, and removing one breaks it",
            f"{here.removing(*installed)}, then install one of them: {here.adding('cpu')}, or [gpu]",
        )
    av = _version("av")
    remedy = installation.adding("video")
    yield Finding("videos", "yes", f"av {av}") if av else Finding("videos", "no", "PyAV is not installed", remedy)


def _cache() -> Iterator[Finding]:
    found = _tried("cache", lambda: str(cache_dir()))
    if found.state == "yes":
        free = shutil.disk_usage(found.detail).free
        state: State = "problem" if free < 1 << 30 else "yes"
        found = Finding("cache", state, f"{found.detail}, {free / 2**30:.1f} GiB free", "mde-bundle cache prune")
    yield found


CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (_chip, _jetson, _gpu, _engines, _backends, _packages, _cache)


def _text(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace").strip("\0\n ")
    except OSError:
        return ""


def _said(*command: str) -> str:
    """What a system's tool says, on one line; empty where it is missing or fails."""
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return " ".join(ended.stdout.split())


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""
