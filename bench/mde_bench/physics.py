"""What a figure would mean for the hardware: which bound it is near, and whether it can be true at all.

The multiply-adds and the bytes of a graph are counted from its tensor shapes; the peak of a CPU follows from its
instruction set, its threads and its clock. A figure faster than the peak allows is refused: then something was not
run, was cached, or the clock is wrong. Winograd and the like need fewer multiplications than a convolution's
definition, so the peak is widened by what they can save before anything is refused.
Sources: Williams, Waterman and Patterson, CACM 2009 (roofline); Lavin and Gray, CVPR 2016 (Winograd, 2.25 times).
"""

from dataclasses import dataclass
from typing import Literal

from mde_bench.work import Work
from mde_runtime.machine import Machine

# Multiply-adds a cycle and core in FP32: lanes of a vector times the units that take one each cycle.
MACS_PER_CYCLE = {"avx512f": 32, "avx2": 16, "avx": 8, "asimd": 8}
FASTER_THAN_FP32 = {"fp32": 1, "fp16": 4, "bf16": 4, "int8": 8}  # tiles and dot products against plain vectors, at most
WINOGRAD_SAVES = 2.25
TURBO = 2.0  # the clock that the system tells may be the base clock, and a core may run so much faster for a while
MEMORY_BYTES_PER_S = 400e9  # no CPU's memory is faster; only weights that fit no cache must come from it
CACHE_BYTES = 256e6

Bound = Literal["compute", "host", "memory, launches or load"]


@dataclass(frozen=True)
class Physics:
    """A candidate's figure against what the hardware could do."""

    work: Work
    peak_macs_per_s: float  # of FP32, at the clock that the system tells
    share_of_peak: float  # num_macs over time over peak; above 1 where the arithmetic is lower or Winograd saves
    near: Bound  # where most of the time goes, as far as the counts tell
    impossible_because: str | None


def peak_macs_per_s(machine: Machine, num_threads: int, clock_hz: float | None) -> float | None:
    """The FP32 peak of a CPU; None where its clock or its instruction set is not known."""
    rate = next((rate for flag, rate in MACS_PER_CYCLE.items() if flag in machine.instruction_set), None)
    return None if rate is None or clock_hz is None else rate * clock_hz * min(num_threads, machine.num_cores)


def physics(work: Work, peak: float, arithmetic: str, backend_s: float, host_s: float, min_s: float) -> Physics:
    """Judge a candidate's median backend and host times, and its fastest call, in seconds."""
    least_s = work.num_macs / (peak * TURBO * WINOGRAD_SAVES * FASTER_THAN_FP32.get(arithmetic, 8))
    if work.weight_bytes > CACHE_BYTES:
        least_s = max(least_s, work.weight_bytes / MEMORY_BYTES_PER_S)
    share = work.num_macs / backend_s / peak
    near: Bound = "host" if host_s > backend_s else "compute" if share > 0.5 else "memory, launches or load"
    impossible = None
    if min_s < least_s:
        impossible = (
            f"a call took {min_s * 1e3:.3g} ms, but {work.num_macs / 1e9:.3g} G multiply-adds take this processor "
            f"{least_s * 1e3:.3g} ms at the very least"
        )
    return Physics(work, peak, share, near, impossible)
