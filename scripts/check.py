"""Everything that must hold before a change lands: style, types, who imports whom, tests. What `make test` runs.

Arguments go to pytest. Stops at the first stage that fails; pytest is last, so that its closing line is the last.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent

CHECKS = (
    ("style", ("ruff", "check", "--quiet", ".")),
    ("format", ("ruff", "format", "--check", "--quiet", ".")),
    ("types", ("mypy", "--no-error-summary")),
    ("imports", ("lint-imports",)),
)
TESTS = (
    *("pytest", "-q", "-m", "not gpu", "-n", "2", "--dist", "loadfile"),
    "--max-worker-restart=0",  # a worker that dies is a failure; with another in its place xdist may wait for ever
)


def main(pytest_arguments: list[str]) -> int:
    """Run the stages; give the exit code of the first that fails."""
    # What runs in the background has Ctrl-C switched off, and so have its children; there are tests that press it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name, command in CHECKS:
        started = time.perf_counter()
        code = run(*command)
        say(f"{name}: {'FAILED after ' if code else ''}{time.perf_counter() - started:.1f} s")
        if code:
            return code
    if sys.platform == "linux":
        say("tests over the stand-in of CUDA's driver ...")
        if code := run("python", "scripts/stand_in.py", "--installed"):
            return code
    say("tests ...")
    return run(*TESTS, *pytest_arguments)


def run(program: str, *arguments: str) -> int:
    """Run a program of this environment in the repository; give its exit code."""
    # One thread a library: two test processes on two cores would otherwise wait for each other.
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run([str(BIN / program), *arguments], cwd=ROOT, env=environment, check=False).returncode


def say(text: str) -> None:
    """Talk to the person at the terminal."""
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
