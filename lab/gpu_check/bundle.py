"""The GPU rows of `mde-bench run` on one bundle, after its engines were built and verified. Needs no torch."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

from lab.gpu_check.clock import Clock
from lab.gpu_check.commands import Invocation
from lab.gpu_check.lines import Line
from lab.gpu_check.request import Request
from mde_bench.result.result import Result, read_result
from mde_bench.result.verdict import unfaithful_because
from mde_runtime.backends import BACKENDS
from mde_runtime.bundle import read_bundle
from mde_runtime.errors import MachineError

PART = "bundle"
ENGINES = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}  # flavour to the library that builds it
DEMO = Path("demo")
RECKONED_S = 90


def bundle_lines(request: Request, clock: Clock) -> Iterator[Line]:
    """Measure the bundle that was given, else the demo's where it is here."""
    if clock.left_s() < RECKONED_S:
        raise MachineError(f"{clock.left_s():.0f} s were left of the {RECKONED_S} that it takes")
    bundle, data = request.bundle or DEMO / "fast.mde", request.data or DEMO / "scenes"
    result = request.out / "bundle-rows.json"
    if missing := [path for path in (bundle, data) if not path.exists()]:
        raise MachineError(f"no {missing[0]} here: make demo on any machine, or give a bundle and frames")
    for flavour, library in ENGINES.items():
        if importlib.util.find_spec(library):
            for precision in read_bundle(bundle).precisions:
                how = ("--flavour", flavour, "--precision", precision)
                Invocation("mde-bundle", "engine", bundle, *how).run((0, 1, 4))  # where it cannot be, the row says why
    Invocation("mde-bench", "run", bundle, "--data", data, "--json", result, "--allow-noisy").run((0, 1))
    yield from lines_of_bench(read_result(result))


def lines_of_bench(result: Result) -> Iterator[Line]:
    """The rows that a GPU gave, and those that it should have given."""
    for row in result.rows:
        if BACKENDS[row.backend].device == "cuda":
            problem = row.failure or unfaithful_because(result, row)
            figures: dict[str, float] = {}
            if row.speed:
                figures |= {"p50_ms": 1e3 * row.speed.end_to_end.p50_s, "p99_ms": 1e3 * row.speed.end_to_end.p99_s}
            if row.parity:
                figures |= {"worst_rmse_mm": 1e3 * row.parity.rmse_worst_m}
            yield Line(PART, row.name, "failed" if problem else "passed", figures, problem or row.executor or "")
    for name, reason in result.absent.items():
        if BACKENDS[name.split()[0]].device == "cuda":
            yield Line(PART, name, "absent", {}, reason)
    for reason in result.invalid_because:
        yield Line(PART, "measurement", "absent", {}, f"not valid: {reason}")
