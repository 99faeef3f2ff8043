"""trtexec beside our own row, on the same engine: another clock on the same work, with the flags that were in effect.

TensorRT 10's default is without CUDA graph and spin-wait and with copies, 11's the reverse; so what counts is what the
program says of itself. Not run on a GPU by this project yet; the tests give it a trtexec of their own.
"""

import json
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mde_bench.timing.statistics import Interval, interval, percentile
from mde_runtime import files
from mde_runtime.errors import MachineError

ON_JETSON = "/usr/src/tensorrt/bin"  # not on the PATH there
DURATION_S = 3
TIMEOUT_S = 120
TOLD = ("Data transfers", "Spin-wait", "CUDA Graph", "Inference Streams")  # what two tables differ by
LINE = re.compile(r"\[I\] ([\w -]+): (.+)")
VERSION = re.compile(r"TensorRT(?: version:)? v?(\d[\w.]*)")
NUM_RESAMPLES = 2000
SEED = 0


@dataclass(frozen=True)
class Trtexec:
    """What trtexec measured of one engine. Calls follow one another, so its latency holds no host of ours."""

    version: str
    flags: dict[str, str]  # in effect, as it says itself
    num_samples: int
    compute_p50_s: float
    compute_interval_s: Interval
    latency_p50_s: float  # upload, compute and download, as far as the flags leave copies in

    @property
    def in_words(self) -> str:
        """One line beside a result."""
        low, high = self.compute_interval_s.low * 1e3, self.compute_interval_s.high * 1e3
        flags = ", ".join(f"{name} {value}" for name, value in self.flags.items())
        return (
            f"trtexec {self.version} on the same engine: GPU compute p50 {self.compute_p50_s * 1e3:.4g} ms "
            f"({low:.4g} to {high:.4g}), latency p50 {self.latency_p50_s * 1e3:.4g} ms; {flags}"
        )


def find_trtexec() -> str | None:
    """Its path; None where it is not installed."""
    return shutil.which("trtexec") or shutil.which("trtexec", path=ON_JETSON)


def time_engine(program: str, engine: bytes) -> Trtexec:
    """Run trtexec with its defaults on an engine. Raises MachineError where it cannot."""
    with tempfile.TemporaryDirectory(prefix="mde-bench-") as folder:
        plan, times = Path(folder) / "plan.engine", Path(folder) / "times.json"
        files.write_bytes(plan, engine)
        command = [program, f"--loadEngine={plan}", f"--duration={DURATION_S}", f"--exportTimes={times}"]
        try:
            ended = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        except subprocess.TimeoutExpired as error:
            raise MachineError(f"trtexec did not finish within {TIMEOUT_S} s") from error
        if ended.returncode or not times.exists():
            last = (ended.stderr or ended.stdout).strip().splitlines() or ["it gave no message"]
            raise MachineError(f"trtexec exited with {ended.returncode}: {last[-1]}")
        return read_times(times.read_text(), ended.stdout)


def read_times(times: str, said: str) -> Trtexec:
    """The figures of an exported trace, and what the program said of its flags."""
    calls = json.loads(times)
    compute_ms = np.array([call["computeMs"] for call in calls])
    told = dict(LINE.findall(said))
    version = VERSION.search(said)
    draws = np.random.default_rng(SEED).choice(compute_ms, (NUM_RESAMPLES, len(compute_ms)))
    return Trtexec(
        version=version[1] if version else "of unknown version",
        flags={name: told[name].strip() for name in TOLD if name in told},
        num_samples=len(calls),
        compute_p50_s=percentile(compute_ms, 0.5) / 1e3,
        compute_interval_s=interval(np.median(draws, axis=1) / 1e3),
        latency_p50_s=percentile([call["latencyMs"] for call in calls], 0.5) / 1e3,
    )
