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
    expected: int = 0  # exit code


@dataclass
class Play:
    """A newcomer's shell: a folder, an environment, and what was done there."""

    folder: Path
    scripts: Path  # of the environment: what a shell finds first
    rows: list[Row] = field(default_factory=list)

    def run(self, step: str, command: Sequence[object], look_for: str = "", exit_code: int = 0) -> str:
        """Run a command; give all that it wrote. look_for: a pattern of the line that the table shows; empty: the last.
        exit_code: that it has to end with.

        Raises RuntimeError where it ends with another: the play ends, and its table so far stays.
        """
        words = [str(word) for word in command]
        print(f"$ {shlex.join(words)}", flush=True)  # noqa: T201  a script of the lab
        environment = {**os.environ, "PATH": f"{self.scripts}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": ""}
        started = time.perf_counter()
        ended = subprocess.run(words, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - started
        output = ended.stdout + ended.stderr
        self.rows.append(Row(step, shlex.join(words), seconds, ended.returncode, _line(output, look_for), exit_code))
        print(output, flush=True)  # noqa: T201
        if ended.returncode != exit_code:
            raise RuntimeError(f"{step}: exit code {ended.returncode} from {shlex.join(words)}")
        return output


def as_markdown(rows: Sequence[Row]) -> str:
    """The table: step, command, seconds, what was seen."""
    lines = ["| step | command | s | seen |", "|---|---|---:|---|"]
    for row in rows:
        code = f"exit code {row.exit_code}: " if row.exit_code else ""
        seen = f"{code if row.exit_code == row.expected else code.upper()}{row.seen}"
        lines.append(f"| {row.step} | `{_short(row.command)}` | {row.seconds:.0f} | {seen.replace('|', '/')} |")
    return "\n".join(lines)


def _short(command: str) -> str:
    """The command as a person would type it: files by their names where the path is absolute."""
    return " ".join(Path(word).name if word.startswith("/") else word for word in command.split())


def _line(output: str, look_for: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip() and not line.startswith("WARNING:")] or [""]
    found = [line for line in lines if re.search(look_for, line)] if look_for else []
    line = " ".join((found or lines)[-1].split())
    return line if len(line) <= MOST_LETTERS else f"{line[: MOST_LETTERS - 1]}…"
