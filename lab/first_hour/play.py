"""The play: commands of a newcomer, run one after the other as from a shell, and a row of the table for each."""

import os
import re
import shlex
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

MOST_LETTERS = 150  # of a line that a table shows


@dataclass(frozen=True)
class Row:
    """A command that was run."""

    step: str
    command: str
    seconds: float
    exit_code: int
    seen: str


@dataclass
class Play:
    """A newcomer's shell: a folder, an environment, and what was done there."""

    folder: Path
    scripts: Path  # of the environment: what a shell finds first
    rows: list[Row] = field(default_factory=list)

    def run(self, step: str, command: Sequence[object], look_for: str = "") -> str:
        """Run a command; give all that it wrote. look_for: a pattern of the line that the table shows; empty: the last.

        Raises RuntimeError where the command fails: the play ends, and its table so far stays.
        """
        words = [str(word) for word in command]
        print(f"$ {shlex.join(words)}", flush=True)  # noqa: T201  a script of the lab
        environment = {**os.environ, "PATH": f"{self.scripts}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": ""}
        started = time.perf_counter()
        ended = subprocess.run(words, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - started
        output = ended.stdout + ended.stderr
        self.rows.append(Row(step, shlex.join(words), seconds, ended.returncode, _line(output, look_for)))
        print(output, flush=True)  # noqa: T201
        if ended.returncode:
            raise RuntimeError(f"{step}: exit code {ended.returncode} from {shlex.join(words)}")
        return output


def as_markdown(rows: Sequence[Row]) -> str:
    """The table: step, command, seconds, what was seen."""
    lines = ["| step | command | s | seen |", "|---|---|---:|---|"]
    for row in rows:
        seen = row.seen if row.exit_code == 0 else f"EXIT CODE {row.exit_code}: {row.seen}"
        lines.append(f"| {row.step} | `{row.command}` | {row.seconds:.0f} | {seen.replace('|', '/')} |")
    return "\n".join(lines)


def _line(output: str, look_for: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()] or [""]
    found = [line for line in lines if re.search(look_for, line)] if look_for else []
    line = " ".join((found or lines)[-1].split())
    return line if len(line) <= MOST_LETTERS else f"{line[: MOST_LETTERS - 1]}…"
