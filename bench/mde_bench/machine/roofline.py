"""The roofline: which bound of the hardware a figure is near, and whether it can be true at all.

The multiply-adds and the bytes of a graph are counted from its tensor shapes and held against the processor's peaks. A
figure faster than the peaks allow is refused: then something was not run, was cached, or the clock is wrong.
Sources: Williams, Waterman and Patterson, CACM 2009 (roofline); Lavin and Gray, CVPR 2016 (Winograd, 2.25 times).
"""

from dataclasses import dataclass
from typing import Literal

from mde_bench.machine.graph_work import Work
from mde_bench.machine.peaks import Peaks

MEMORY_BYTES_PER_S = 30e12  # no memory is faster: HBM4 is announced at 22e12; only what fits no cache comes from it
CACHE_BYTES = 256e6
NEAR = 0.5  # of a bound

Bound = Literal["compute", "memory", "launch", "copy", "host", "launches or load"]


@dataclass(frozen=True)
class Spent:
    """Where a call's time goes, seconds. The last two are a GPU's own, None where it was not asked."""

    backend_s: float
    host_s: float
    fastest_s: float  # of all calls, end to end
    compute_s: float | None = None
    copies_s: float | None = None


@dataclass(frozen=True)
class Physics:
    """A candidate's figure against what the hardware could do."""

    work: Work
    peaks: Peaks
    share_of_peak: float  # num_macs over time over peak; above 1 where Winograd or a lower arithmetic saves
    share_of_memory: float | None  # bytes over time over peak; above 1 where caches save. None: the peak is not known
    near: Bound  # where most of the time goes, as far as the counts tell
    impossible_because: str | None


def physics(work: Work, peaks: Peaks, arithmetic: str, spent: Spent) -> Physics:
    """Judge where a candidate's time goes, and its fastest call."""
    compute_s = spent.backend_s if spent.compute_s is None else spent.compute_s
    share = work.num_macs / compute_s / peaks.macs_per_s.get(arithmetic, peaks.macs_per_s["fp32"])
    of_memory = work.moved_bytes / compute_s / peaks.bytes_per_s if peaks.bytes_per_s else None
    limits = peaks.limits_macs_per_s
    least_s = work.num_macs / limits.get(arithmetic, max(limits.values()))
    if work.weight_bytes > CACHE_BYTES:
        least_s = max(least_s, work.weight_bytes / MEMORY_BYTES_PER_S)
    impossible = None
    if spent.fastest_s < least_s:
        impossible = (
            f"a call took {spent.fastest_s * 1e3:.3g} ms, but {work.num_macs / 1e9:.3g} G multiply-adds take this "
            f"processor {least_s * 1e3:.3g} ms at the very least"
        )
    return Physics(work, peaks, share, of_memory, _near(spent, share, of_memory or 0.0), impossible)


def _near(spent: Spent, share_of_peak: float, share_of_memory: float) -> Bound:
    if spent.host_s > spent.backend_s:
        return "host"
    if spent.copies_s is not None and spent.copies_s > NEAR * spent.backend_s:
        return "copy"
    if spent.compute_s is not None and spent.compute_s < NEAR * spent.backend_s:
        return "launch"
    if max(share_of_peak, share_of_memory) < NEAR:
        return "launches or load"
    return "compute" if share_of_peak >= share_of_memory else "memory"
