"""The start-up time of commands: --help over a bare interpreter; and `import mde_runtime`, over `import numpy`.

    .venv/bin/python -m lab.startup [ROUNDS]

Every subject runs once a round, in an order that is drawn anew each time; the figures are medians over the rounds of
what it took more than its baseline in that very round: wall time, and processor time, which a busy machine inflates
less.
"""

import random
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

BIN = Path(sys.executable).parent
PYTHON = (sys.executable, "-c")
BARE, NUMPY = "bare interpreter", "import numpy"
COMMANDS = ("mde-data", "mde-train", "mde-export", "mde-bundle", "mde-predict", "mde-doctor", "mde-bench")
SUBJECTS = {
    BARE: (*PYTHON, "pass"),
    NUMPY: (*PYTHON, "import numpy"),
    "import mde_runtime": (*PYTHON, "import mde_runtime"),
    "import mde_runtime.DepthEstimator": (*PYTHON, "from mde_runtime import DepthEstimator"),
    **{f"{name} --help": (str(BIN / name), "--help") for name in COMMANDS},
}


def main(num_rounds: int) -> None:
    """Measure, and print a line a subject."""
    chance = random.Random(0)
    taken: dict[str, list[tuple[float, float]]] = {}
    for _ in range(num_rounds):
        for name in chance.sample(sorted(SUBJECTS), len(SUBJECTS)):
            taken.setdefault(name, []).append(timed(SUBJECTS[name]))
    for name, times in taken.items():
        baseline = NUMPY if name.startswith("import mde") else BARE
        wall_s, cpu_s = (
            statistics.median(mine[kind] - other[kind] for mine, other in zip(times, taken[baseline], strict=True))
            for kind in (0, 1)
        )
        sys.stdout.write(f"{name:34} {wall_s:+.3f} s wall, {cpu_s:+.3f} s processor, over {baseline}\n")


def timed(command: tuple[str, ...]) -> tuple[float, float]:
    """Run a command; give its wall time and its processor time, in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    wall_s = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 30)
