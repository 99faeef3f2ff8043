"""The gate: limits in a TOML file, checked against a result; every check is named, so a CI can list it.

protocol = "seed"             # what the accuracy limits are of

["onnxruntime-cpu *"]         # candidates, by name; * stands for anything
p99_ms = 40.0                 # at most
ssim = 0.45                   # at least
"""

import fnmatch
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mde_bench.result.result import Result, Row
from mde_bench.result.verdict import headline, unfaithful_because
from mde_runtime import files, installation, numbers
from mde_runtime.errors import BadInputError, MachineError, reason_of

Value = Callable[[Row], float | None]


def _time(name: str) -> Value:
    return lambda row: getattr(row.speed.end_to_end, name) * 1e3 if row.speed else None


def _parity(name: str, factor: float = 1.0) -> Value:
    return lambda row: getattr(row.parity, name) * factor if row.parity else None


def _bias_mm(row: Row) -> float | None:
    return abs(row.parity.bias_m) * 1e3 if row.parity else None


def _accuracy(name: str) -> Value:
    return lambda row: row.accuracy.values.get(name) if row.accuracy else None


def _gpu_compute_ms(row: Row) -> float | None:
    found = row.speed.device if row.speed else None
    return found.times.compute_s * 1e3 if found and found.times else None


def _gpu_memory_mib(row: Row) -> float | None:
    found = row.speed.device if row.speed else None
    return None if found is None or found.memory_bytes is None else found.memory_bytes / 2**20


AT_MOST: dict[str, Value] = {
    **{f"{name}_ms": _time(f"{name}_s") for name in ("p50", "p90", "p95", "p99", "max", "mean")},
    "peak_memory_mib": lambda row: (
        row.speed.peak_memory_bytes / 2**20 if row.speed and row.speed.peak_memory_bytes is not None else None
    ),
    "gpu_compute_ms": _gpu_compute_ms,
    "gpu_memory_mib": _gpu_memory_mib,
    "parity_rmse_mm": _parity("rmse_m", 1e3),
    "parity_rmse_worst_mm": _parity("rmse_worst_m", 1e3),
    "parity_max_abs_mm": _parity("max_abs_m", 1e3),
    "parity_bias_mm": _bias_mm,
    **{name: _accuracy(name) for name in ("rmse_m", "abs_rel", "rmse_log", "log10", "silog")},
}
AT_LEAST: dict[str, Value] = {
    "parity_ssim_worst": _parity("ssim_worst"),
    "parity_delta1": _parity("delta1"),
    **{name: _accuracy(name) for name in ("ssim", "delta1", "delta2", "delta3")},
}


@dataclass(frozen=True)
class Limit:
    """One line of the file."""

    candidates: str  # a pattern of names
    figure: str  # of AT_MOST or AT_LEAST
    value: float


@dataclass(frozen=True)
class Gate:
    """A gate file."""

    protocol: str | None
    limits: tuple[Limit, ...]


@dataclass(frozen=True)
class Check:
    """One thing that a candidate had to keep. breach None: it does."""

    candidate: str
    what: str
    breach: str | None


def read_gate(path: Path) -> Gate:
    """Read a gate file. Raises BadInputError that names the line at fault: a limit with a typo would never fail."""
    content = _toml(path)
    protocol = content.pop("protocol", None)
    if protocol is not None and not isinstance(protocol, str):
        raise BadInputError(f'{path}: protocol is a name, not {protocol!r}; write one in quotes, such as "seed"')
    limits = []
    for pattern, figures in content.items():
        if not isinstance(figures, dict):
            raise BadInputError(f"{path}: {pattern!r} is outside a table; start one, for example ['onnxruntime-cpu *']")
        limits += [_limit(path, pattern, figure, value) for figure, value in figures.items()]
    if not limits:
        raise BadInputError(f"{path}: contains no limit, so nothing could ever fail; the figures are {_known()}")
    return Gate(protocol, tuple(limits))


def checks(result: Result, gate: Gate | None) -> list[Check]:
    """Everything that a result is held to: each candidate that the gate names runs, is faithful, and keeps the limits.

    Without a gate one candidate has to.
    """
    if gate is None:
        nothing = None if headline(result) else "none finished with the reference's depth"
        return [Check("mde-bench", "a candidate can be shipped", nothing)]
    found = []
    for row in result.rows:
        if any(fnmatch.fnmatchcase(row.name, limit.candidates) for limit in gate.limits):
            found.append(Check(row.name, "runs", row.failure))
            found.append(Check(row.name, "gives the reference's depth", unfaithful_because(result, row)))
    protocols = {row.accuracy.protocol for row in result.rows if row.accuracy}
    if gate.protocol and protocols - {gate.protocol}:
        said = f"the gate's limits are of {gate.protocol}, the run's accuracy is of {', '.join(sorted(protocols))}"
        found.append(Check("gate", "protocol", said))
    for limit in gate.limits:
        rows = [row for row in result.rows if fnmatch.fnmatchcase(row.name, limit.candidates)]
        found += [Check(row.name, limit.figure, _breach(row, limit)) for row in rows]
        if not rows:
            found.append(Check(limit.candidates, limit.figure, "no candidate of this name was measured"))
    return found


def _breach(row: Row, limit: Limit) -> str | None:
    is_upper = limit.figure in AT_MOST
    value = (AT_MOST if is_upper else AT_LEAST)[limit.figure](row)
    if value is None:
        return f"{limit.figure} was not measured"
    if value <= limit.value if is_upper else value >= limit.value:
        return None
    return f"{limit.figure} is {value:.5g}, {'over' if is_upper else 'under'} {limit.value:g}"


def _limit(path: Path, pattern: str, figure: str, value: object) -> Limit:
    if figure not in AT_MOST and figure not in AT_LEAST:
        raise BadInputError(f"{path}: {pattern}: unknown figure {figure!r}; choose from {_known()}")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise BadInputError(f"{path}: {pattern}: {figure} is a number, not {value!r}; write it without quotes")
    if not abs(value) <= numbers.MOST_REAL:
        raise BadInputError(f"{path}: {pattern}: {figure} is not a finite number, so it limits nothing; write a number")
    return Limit(pattern, figure, float(value))


def _known() -> str:
    return ", ".join((*AT_MOST, *AT_LEAST))


def _toml(path: Path) -> dict[str, Any]:  # Any: whatever the file holds; `read_gate` checks it
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        try:
            import tomli as tomllib
        except ImportError as error:
            raise MachineError(f"a gate needs tomli on Python 3.10; {installation.adding('bench')}") from error
    try:
        content: dict[str, Any] = tomllib.loads(files.read_small(path).decode())
    except FileNotFoundError as error:
        raise BadInputError(f"{path}: no such file; write limits in TOML (docs/method.md)") from error
    except (ValueError, RecursionError) as error:  # no TOML, no UTF-8, a number of thousands of digits, nested
        raise BadInputError(f"{path}: not TOML ({reason_of(error)}); mend that line") from error
    return content
