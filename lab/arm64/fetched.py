"""All that the emulation needs, fetched into one folder: QEMU and PRoot, Debian for arm64, the wheels for aarch64.

apt works in folders of its own with the sources of this machine, and nothing is installed. A part that is there is
kept; one that was cut short is taken up again by apt and pip themselves.
"""

import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from lab.jetson_wheels import PLATFORMS, requirements
from mde_runtime.command import say
from mde_runtime.errors import MachineError, one_line

ROOT = Path(__file__).resolve().parents[2]
NEEDED = ("apt-get", "dpkg-deb", "tar")
TOOLS = ("qemu-user-static", "proot", "libtalloc2")  # the last is PRoot's library
SYSTEM = ("python3", "libstdc++6", "libgomp1", "dash")
LINKS = ("bin", "lib", "sbin")  # Debian has them below usr alone
ONE_CORE = ("present", "possible")  # of /sys/devices/system/cpu: ONNX Runtime ends at its import without them


def check_machine(system: str, machine: str, find: Callable[[str], str | None]) -> None:
    """Raise MachineError, with all that is missing, where the tools of Debian for x86-64 cannot run."""
    if (system, machine) != ("Linux", "x86_64"):
        raise MachineError(f"this is {system} on {machine}, not Debian on x86-64; run lab.arm64 there")
    missing = [tool for tool in NEEDED if find(tool) is None]
    if missing:
        raise MachineError(f"{', '.join(missing)} not found; run lab.arm64 on Debian, or a system made from it")


def fetch(folder: Path) -> str:
    """Fetch what the folder lacks; the version of Debian's Python for arm64, such as 3.11."""
    check_machine(platform.system(), platform.machine(), shutil.which)
    folder.mkdir(parents=True, exist_ok=True)
    _once(folder / "tools", TOOLS, "QEMU and PRoot, about 60 MB", lambda: _fetch_tools(folder))
    _once(folder / "root", SYSTEM, "Debian for arm64, about 20 MB", lambda: _fetch_root(folder))
    python = python_of(folder / "root")
    wheels = requirements(python, "cpu")
    _once(folder / "root/opt/site", wheels, "the wheels for aarch64", lambda: _fetch_wheels(folder, python, wheels))
    return python


def python_of(root: Path) -> str:
    """The version of the Python below a root."""
    names = (path.name for path in root.glob("usr/bin/python3.*"))
    found = [name.removeprefix("python") for name in names if re.fullmatch(r"python3\.\d+", name)]
    if len(found) != 1:
        raise MachineError(f"{root} holds {len(found)} Pythons, not one; remove that folder and run lab.arm64 again")
    return found[0]


def _once(target: Path, asked: Sequence[str], named: str, work: Callable[[], None]) -> None:
    """Do the work of a part unless its list, written when it was whole, says that it is there."""
    stamp, wanted = target.with_name(f"{target.name}.list"), "\n".join(asked)
    if stamp.exists() and stamp.read_text() == wanted:
        say(f"{named}: in {target.parent.name}/{target.name}")
        return
    say(f"{named}: fetching")
    work()
    stamp.write_text(wanted)


def _fetch_tools(folder: Path) -> None:
    packages = folder / "apt-amd64/packages"
    packages.mkdir(parents=True, exist_ok=True)
    _apt(folder, "amd64", "update")
    _apt(folder, "amd64", "download", *TOOLS, at=packages)
    _extract(packages, folder / "tools")


def _fetch_root(folder: Path) -> None:
    root = folder / "root"
    for name in LINKS:
        (root / "usr" / name).mkdir(parents=True, exist_ok=True)
        if not (root / name).is_symlink():
            (root / name).symlink_to(f"usr/{name}")
    _apt(folder, "arm64", "update")
    _apt(folder, "arm64", "--yes", "--download-only", "install", *SYSTEM)
    _extract(folder / "apt-arm64/cache/archives", root)
    for name in ("dev", "proc", "tmp", "sys/devices/system/cpu"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for name in ONE_CORE:
        (root / "sys/devices/system/cpu" / name).write_text("0\n")


def _fetch_wheels(folder: Path, python: str, wheels: list[str]) -> None:
    """The base and ONNX Runtime, for Debian's Python."""
    place = [word for name in PLATFORMS for word in ("--platform", name)]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--upgrade", "--only-binary=:all:", *place]
    command += ["--implementation", "cp", "--python-version", python, "--target", str(folder / "root/opt/site")]
    _run([*command, "-c", str(ROOT / "constraints.txt"), *wheels], ROOT)


def _apt(folder: Path, architecture: str, *words: str, at: Path | None = None) -> None:
    """One call of apt-get that reads this machine's sources and keys, and writes below the folder alone."""
    own = folder / f"apt-{architecture}"
    for name in ("state/lists/partial", "cache/archives/partial"):
        (own / name).mkdir(parents=True, exist_ok=True)
    (own / "status").touch()  # nothing is installed there, so all that is needed is fetched
    options = {
        "APT::Architecture": architecture,
        "APT::Architectures": architecture,
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "root",  # another user could not write here
        "Debug::NoLocking": "1",
        "Dir::State": own / "state",
        "Dir::State::status": own / "status",
        "Dir::Cache": own / "cache",
    }
    given = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    _run(["apt-get", "--quiet", "--quiet", *given, *words], at or own)


def _extract(packages: Path, target: Path) -> None:
    """Unpack packages, one over the other, without their scripts."""
    target.mkdir(exist_ok=True)
    found = sorted(packages.glob("*.deb"))
    say(f"unpacking {len(found)} packages into {target.parent.name}/{target.name}")
    for package in found:
        unpacked = target.with_name("unpacked.tar")
        with unpacked.open("wb") as archive:
            _run(["dpkg-deb", "--fsys-tarfile", str(package)], target, archive)
        _run(["tar", "--extract", "--keep-directory-symlink", "--no-same-owner", "--file", str(unpacked)], target)
        unpacked.unlink()


def _run(command: list[str], at: Path, out: IO[bytes] | int = subprocess.DEVNULL) -> None:
    """Run a command quietly. Raises MachineError with its last words where it fails."""
    ended = subprocess.run(command, cwd=at, stdout=out, stderr=subprocess.PIPE, text=True, check=False)
    if ended.returncode:
        told = one_line((ended.stderr.strip() or f"exit code {ended.returncode}").splitlines()[-1])
        raise MachineError(f"{Path(command[0]).name} failed: {told}; run lab.arm64 again to take it up there")
