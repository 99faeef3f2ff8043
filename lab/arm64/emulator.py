"""The command line of PRoot and QEMU, and the processor that they show."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from lab.arm64.fetched import ROOT

V8_0 = "fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid"
V8_2 = "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"
CPUS = {  # QEMU's name: the features of Linux, and the variant, part and revision of the identification register
    "cortex-a53": (V8_0, "0x0", "0xd03", 4),
    "cortex-a57": (V8_0, "0x1", "0xd07", 0),
    "cortex-a72": (V8_0, "0x0", "0xd08", 3),
    "cortex-a76": (V8_2, "0x4", "0xd0b", 1),
    "neoverse-n1": (V8_2, "0x4", "0xd0c", 1),
}


def cpuinfo(cpu: str) -> str:
    """/proc/cpuinfo of one core. ONNX Runtime reads it; this machine's own names no feature of an Arm core."""
    features, variant, part, revision = CPUS[cpu]
    facts = {
        "processor": "0",
        "BogoMIPS": "50.00",
        "Features": features,
        "CPU implementer": "0x41",
        "CPU architecture": "8",
        "CPU variant": variant,
        "CPU part": part,
        "CPU revision": str(revision),
    }
    return "".join(f"{name}\t: {fact}\n" for name, fact in facts.items()) + "\n"


def command(folder: Path, cpu: str, python: str, words: Sequence[str], seen: Iterable[Path]) -> list[str]:
    """The command that runs Debian's Python for arm64 with these words, below what was fetched into the folder.

    seen: the folders that it reads or writes. Each is bound at its own place: PRoot does not translate every call, so
    a path must mean the same inside and outside.
    """
    tools = folder / "tools/usr"
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": "/tmp",  # inside the root
        "LD_LIBRARY_PATH": tools / "lib/x86_64-linux-gnu",
        "QEMU_CPU": cpu,
        "MDE_CACHE": folder / f"cache-{cpu}",
        "OMP_NUM_THREADS": 1,
        "PYTHONPATH": f"{ROOT / 'runtime'}:/opt/site",
        "PYTHONDONTWRITEBYTECODE": 1,
        "LANG": "C.UTF-8",
    }
    bound = ["/dev", "/proc", f"{folder / f'cpuinfo-{cpu}'}:/proc/cpuinfo"]
    bound += [str(place) for place in dict.fromkeys((ROOT, folder, *seen))]
    return [
        *("env", "-i", *(f"{name}={value}" for name, value in environment.items())),
        *(str(tools / "bin/proot"), "-r", str(folder / "root"), "-q", str(tools / "bin/qemu-aarch64-static")),
        *(word for place in bound for word in ("-b", place)),
        *("-w", str(folder), f"/usr/bin/python{python}", *words),
    ]
