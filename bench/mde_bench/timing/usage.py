"""Memory and preemptions of this process, as its system counts them; Windows counts neither, so both are None there."""

import sys
from pathlib import Path

STATUS = Path("/proc/self/status")  # of Linux

try:
    import resource
except ImportError:  # Windows

    def peak_memory_bytes() -> int | None:
        """The most memory that this process had resident so far."""
        return None

    def num_preemptions() -> int | None:
        """How often the system took the processor away from this process so far."""
        return None
else:

    def peak_memory_bytes() -> int | None:
        """The most memory that this process had resident so far."""
        for line in STATUS.read_text().splitlines() if STATUS.exists() else ():
            if line.startswith("VmHWM:"):  # the system's other count begins with the memory of who started the process
                return int(line.split()[1]) * 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024  # Linux counts KiB

    def num_preemptions() -> int | None:
        """How often the system took the processor away from this process so far."""
        return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
