"""The lines of a check, and the tables that show them."""

from dataclasses import dataclass
from typing import Literal

from mde_bench.report.markdown import markdown_table
from mde_runtime.machine import Machine

SCHEMA = 2
Verdict = Literal["passed", "failed", "absent"]


@dataclass(frozen=True)
class Line:
    """One thing that was tried. figures: by name, with the unit in it."""

    part: str
    what: str
    verdict: Verdict  # absent: this machine lacks what it needs, or the time was up
    figures: dict[str, float]
    detail: str


@dataclass(frozen=True)
class GpuCheck:
    """What one machine showed."""

    schema: int
    tool: str
    machine: Machine
    gpu: str
    date: str  # UTC
    command: str
    libraries: dict[str, str]
    seconds: float
    lines: tuple[Line, ...]


def as_markdown(check: GpuCheck) -> str:
    """The conditions, and one table for each part."""
    libraries = ", ".join(f"{name} {version}" for name, version in check.libraries.items())
    head = f"{check.gpu}; {check.machine.cpu}, {check.machine.num_cores} cores, {check.machine.system}; {check.tool}"
    parts = dict.fromkeys(line.part for line in check.lines)
    tables = [f"## {part}\n\n{table_of([line for line in check.lines if line.part == part])}" for part in parts]
    return (
        "\n\n".join((f"{head}\n\n{libraries}\n\n{check.date}, {check.seconds:.0f} s: `{check.command}`", *tables))
        + "\n"
    )


def table_of(lines: list[Line]) -> str:
    """A table of lines: a column for every figure that one of them has."""
    names = list(dict.fromkeys(name for line in lines for name in line.figures))
    rows = []
    for line in lines:
        figures = (f"{line.figures[name]:.4g}" if name in line.figures else "" for name in names)
        rows.append((line.what, line.verdict, *figures, line.detail))
    return markdown_table(("what", "verdict", *names, "detail"), rows)
