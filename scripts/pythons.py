"""Lint and tests on every supported Python that is found here: what `make pythons` runs.

Each has an environment of its own below build/, one at a time, which is removed afterwards. They have no torch, whose
build for a CPU not every machine has for every Python: tests that need it are skipped, and their number is said. With
--all everything is installed, and all tests run.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENTS = ROOT / "build" / "pythons"
VERSIONS = ("3.10", "3.11", "3.12", "3.13")  # of setup.cfg; a test holds them equal
WITHOUT_TORCH = "export,openvino,video,bag,bench,dev"
EVERYTHING = f"train,hf,{WITHOUT_TORCH}"
ROOMS = (".", "runtime", "train", "export", "bench", "scripts")
TESTS = ("tests/runtime", "tests/bench", "tests/project")  # the rest trains, or holds graphs against PyTorch
CANNOT = 4  # exit code: this machine cannot


def main() -> int:
    """Check each Python; give the first exit code that is not 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("only", nargs="*", metavar="VERSION", default=list(VERSIONS), help=", ".join(VERSIONS))
    parser.add_argument("--all", action="store_true", help="with torch, and every test")
    arguments = parser.parse_args()
    # What runs in the background has Ctrl-C switched off, and so have its children; there are tests that press it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    codes = {}
    for version in arguments.only:
        python = find(version)
        if python is None:
            say(f"Python {version}: not found on the PATH or among pyenv's, so not checked")
            continue
        started = time.perf_counter()
        codes[version] = check(version, python, has_everything=arguments.all)
        verdict = f"FAILED with {codes[version]}" if codes[version] else "passed"
        say(f"Python {version}: {verdict} after {time.perf_counter() - started:.0f} s")
    if not codes:
        say(f"none of Python {', '.join(arguments.only)} is here; install one, as by pyenv install {VERSIONS[-1]}")
        return CANNOT
    return next(filter(None, codes.values()), 0)


def find(version: str) -> str | None:
    """The newest interpreter of a version, on the PATH or among pyenv's; None where there is none that starts."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    patches = sorted(pyenv.glob(f"{version}.*"), key=lambda folder: _numbers(folder.name), reverse=True)
    candidates = [str(folder / "bin" / "python") for folder in patches]
    if named := shutil.which(f"python{version}"):
        candidates.append(named)
    for python in candidates:
        asked = (python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])")
        try:
            said = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
        except OSError:
            continue
        if said == version:
            return python
    return None


def check(version: str, python: str, *, has_everything: bool) -> int:
    """Make an environment, check with it, and remove it again; give the exit code of the first stage that fails."""
    extras = EVERYTHING if has_everything else WITHOUT_TORCH
    ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
    # A name of its own: the tests run this script, and must not take away the environment that they run in.
    environment = Path(tempfile.mkdtemp(prefix=f"{version}-", dir=ENVIRONMENTS))
    try:
        made = run(python, "-m", "venv", environment)
        if made or (made := run(environment / "bin" / "pip", "install", "-q", "-c", "constraints.txt", f".[{extras}]")):
            return made
        if has_everything:  # not every platform has it
            run(environment / "bin" / "pip", "install", "-q", "-c", "constraints.txt", "tensorrt-rtx")
        newest = max(filter(find, VERSIONS), key=_numbers)
        types = [("mypy", "--no-error-summary")] if version == newest and has_everything else []
        if not types:
            say(f"Python {version}: types are checked with everything installed and on Python {newest}")
        skipping = () if has_everything else ("-p", "without_torch", *TESTS)
        tests = ("pytest", "-q", "-r", "fEs", "-m", "not gpu", "-n", "2", "--dist", "loadfile", *skipping)
        stages = [("ruff", "check", "--quiet", "."), ("lint-imports",), *types, tests]
        return next(filter(None, (run(environment / "bin" / name, *rest) for name, *rest in stages)), 0)
    finally:
        shutil.rmtree(environment, ignore_errors=True)


def run(program: str | Path, *arguments: str | Path) -> int:
    """Run a program in the repository with our sources first on the path; give its exit code."""
    paths = os.pathsep.join(str(ROOT / room) for room in ROOMS)
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    return subprocess.run([program, *arguments], cwd=ROOT, env=environment, check=False).returncode


def say(text: str) -> None:
    """Talk to the person at the terminal."""
    sys.stderr.write(f"{text}\n")


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdigit()]


if __name__ == "__main__":
    sys.exit(main())
