"""Commands of ours, run from this very tree, and functions of ours, each in a process of its own."""

import json
import subprocess
import sys
from typing import TypeVar

from mde_runtime import records
from mde_runtime.errors import VerdictError

MODULES = {
    "mde-data": "mde_train.cli.data",
    "mde-train": "mde_train.cli.train",
    "mde-export": "mde_export.cli",
    "mde-bundle": "mde_runtime.cli.bundle",
    "mde-bench": "mde_bench.cli",
    "lab-train": "lab.ideas.train",
}
FUNCTION = """
import importlib, json, sys
from mde_runtime import records
module, name = sys.argv[1].split(":")
sys.stdout.write(records.dumps(getattr(importlib.import_module(module), name)(*json.loads(sys.argv[2]))))
"""

Record = TypeVar("Record")


class Invocation:
    """A command of ours with its arguments, as a user types it."""

    def __init__(self, name: str, *arguments: object):
        self.text = " ".join((name, *map(str, arguments)))
        program = f"from {MODULES[name]} import main; main(prog_name={name!r})"
        self.arguments = [sys.executable, "-c", program, *map(str, arguments)]

    def start(self) -> "subprocess.Popen[bytes]":
        """Start it; what it prints goes to stderr, since stdout belongs to the check's results."""
        return subprocess.Popen(self.arguments, stdout=sys.stderr)

    def run(self, codes: tuple[int, ...] = (0,)) -> None:
        """Run it to its end. Raises VerdictError for another exit code than `codes`."""
        self.check(self.start().wait(), codes)

    def check(self, code: int, codes: tuple[int, ...] = (0,)) -> None:
        """Raises VerdictError for another exit code than `codes`."""
        if code not in codes:
            raise VerdictError(f"exit code {code} from {self.text}")

    def error(self, codes: tuple[int, ...] = (0,)) -> str | None:
        """Run it to its end; the last line of its stderr where it ends with another exit code, else None."""
        ended = subprocess.run(self.arguments, capture_output=True, text=True, check=False)
        sys.stderr.write(ended.stderr)
        return None if ended.returncode in codes else _last_line(ended.stderr) or f"exit code {ended.returncode}"


def in_a_process(kind: type[Record], function: str, *arguments: object) -> Record:
    """What `module:function` gives for arguments that are JSON. Raises VerdictError where it fails or crashes."""
    command = [sys.executable, "-c", FUNCTION, function, json.dumps(arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise VerdictError(_last_line(ended.stderr) or f"{function} ended with {ended.returncode}")
    return records.loads(kind, ended.stdout, function)


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1]
