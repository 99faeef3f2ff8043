"""A check that the wheels of a Jetson's installation exist: `python -m lab.jetson_wheels`. Resolves, downloads nothing.

JetPack 6 has Python 3.10 and CUDA 12, JetPack 7 has 3.12 and CUDA 13; the base installs with no torch and no compiler.
"""

import configparser
import json
import subprocess
import sys
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
BOARDS = {"JetPack 6": ("3.10", "cuda12"), "JetPack 7": ("3.12", "cuda13")}
PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux2014_aarch64")  # what their glibc runs


def main() -> int:
    """Resolve each board's installation; 1 where one cannot be."""
    failed = 0
    for board, (python, extra) in BOARDS.items():
        needed = requirements(python, extra)
        ended = resolve(python, needed)
        failed += ended.returncode != 0
        told = found(ended.stdout) if ended.returncode == 0 else ended.stderr.strip().splitlines()[-1]
        sys.stdout.write(f"{board}, Python {python}, {extra}: {told}\n")
    return min(failed, 1)


def requirements(python: str, extra: str) -> list[str]:
    """The base and an extra, as setup.cfg has them for that Python."""
    options = configparser.ConfigParser()
    options.read(ROOT / "setup.cfg")
    lines = (options["options"]["install_requires"] + options["options.extras_require"][extra]).splitlines()
    board = {"python_version": python, "platform_machine": "aarch64", "sys_platform": "linux"}
    asked = [Requirement(line) for line in lines if line.strip() and not line.lstrip().startswith("#")]
    return [f"{one.name}{one.specifier}" for one in asked if one.marker is None or one.marker.evaluate(board)]


def resolve(python: str, needed: list[str]) -> subprocess.CompletedProcess[str]:
    """Ask pip what it would install there."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--report", "-", "--ignore-installed"]
    place = [word for platform in PLATFORMS for word in ("--platform", platform)]
    command += ["--only-binary=:all:", "--target", "none", *place, "--implementation", "cp", "--python-version", python]
    return subprocess.run([*command, *needed], capture_output=True, text=True, check=False)


def found(report: str) -> str:
    """What would be installed, in words."""
    packages = (entry["metadata"] for entry in json.loads(report)["install"])
    return ", ".join(sorted(f"{package['name']} {package['version']}" for package in packages))


if __name__ == "__main__":
    sys.exit(main())
