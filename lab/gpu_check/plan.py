"""The plan of a check: its steps, and an estimate of their time."""

from collections.abc import Iterator, Sequence

from lab.gpu_check import bundle
from lab.gpu_check.request import Rehearsal
from lab.gpu_check.speed.ways import GPU, REHEARSAL

TESTS_S = 75  # reckoned
CHIP_S = 10
ROBUSTNESS_S = 400

Step = tuple[str, float]


def plan_of(parts: Sequence[str], jobs: str | None, minutes: float, *, is_rehearsal: bool) -> str:
    """A table of the parts' steps, and their sums."""
    lines = []
    for part in parts:
        steps = list(_steps(part, jobs, is_rehearsal=is_rehearsal))
        lines += [f"{part}: {what}: {seconds:.0f} s" for what, seconds in steps]
        lines.append(f"{part}, in all: {sum(seconds for _, seconds in steps) / 60:.1f} min")
    total_s = sum(seconds for part in parts for _, seconds in _steps(part, jobs, is_rehearsal=is_rehearsal))
    return "\n".join((*lines, f"in all {total_s / 60:.1f} min, of {minutes:g} min a call", ""))


def _steps(part: str, jobs: str | None, *, is_rehearsal: bool) -> Iterator[Step]:
    if part == "tests":
        yield "what is marked gpu", TESTS_S
    elif part == "bundle":
        yield "a bundle's rows", bundle.RECKONED_S
    elif part == "bench":
        setting = REHEARSAL if is_rehearsal else GPU
        yield "export of the networks, side by side", setting.export_s
        yield "the chip's rates", CHIP_S
        for name in setting.networks:
            num_rows = sum(len(setting.ways_of(name, batch)) for batch in setting.batches)
            yield f"{name}, {num_rows} rows", setting.seconds_of(name)
    elif part == "robustness":
        yield "a bundle, 600 frames on two cores", ROBUSTNESS_S
    else:
        from lab.gpu_check.train.jobs import jobs_of

        for job in jobs_of(jobs, Rehearsal() if is_rehearsal else None):
            yield job.name, job.reckoned_s
