"""A trained checkpoint, exported and judged: every figure is that of the bundle, by `mde-bench accuracy`."""

from dataclasses import dataclass
from pathlib import Path

from lab.gpu_check.commands import Invocation
from lab.gpu_check.lines import Line
from lab.gpu_check.train.jobs import SEED_MODEL, Job
from mde_bench.accuracy.judge import FileAccuracy
from mde_bench.result.result import read_result
from mde_bench.result.verdict import is_sound
from mde_runtime import files, records
from mde_runtime.bundle import read_bundle
from mde_runtime.errors import VerdictError

PART = "train"
PROTOCOL = "seed"
RAW = "seed-raw"


@dataclass(frozen=True)
class FinishedJob:
    """What is known of a job that is done."""

    job: str
    model: str
    accuracy: dict[str, FileAccuracy]  # by precision of the bundle; `seed-raw`: the checkpoint itself
    certified_cm: dict[str, float]  # the worst frame's RMSE against PyTorch, by precision
    latency_ms: dict[str, float]  # of one frame on this machine, by way and precision
    refused: dict[str, str]  # precisions that no certificate was given for, and why

    @classmethod
    def of_export(cls, job: Job, data: Path, checkpoint: Path, folder: Path) -> "FinishedJob":
        """Export a job's best checkpoint and judge it. Raises VerdictError where not even FP32 passes."""
        bundle, refused = _exported(job, checkpoint, folder / "model.mde")
        read = read_bundle(bundle)
        accuracy: dict[str, FileAccuracy] = {
            name: _accuracy(bundle, data, folder / f"{name}.json", "--protocol", PROTOCOL, "--precision", name)
            for name in read.precisions
        }
        if job.recipe == SEED_MODEL:
            accuracy[RAW] = _accuracy(checkpoint, data, folder / f"{RAW}.json", "--protocol", RAW)
        certified: dict[str, float] = {
            name: 100 * read.certificate(name).parity.rmse_worst_m for name in read.precisions
        }
        latency = _latency(bundle, data, folder / "bench.json") if job.is_timed else {}
        return cls(job.name, job.recipe, accuracy, certified, latency, refused)


def write_judged(judged: FinishedJob, path: Path) -> None:
    """Keep it: the job is done."""
    files.write_text(path, records.dumps(judged))


def read_judged(path: Path) -> FinishedJob:
    """What was kept."""
    return records.loads(FinishedJob, path.read_bytes(), str(path))


def line_of(job: Job, judged: FinishedJob) -> Line:
    """A job's line."""
    figures: dict[str, float] = {}
    for name, found in judged.accuracy.items():
        figures |= {f"{name} RMSE m": found.figures.values["rmse_m"], f"{name} SSIM": found.figures.values["ssim"]}
    if fp32 := judged.accuracy.get("fp32"):
        figures |= {f"fp32 {name}": value for name, value in fp32.beside.items()}
    figures |= {f"{name} worst cm": value for name, value in judged.certified_cm.items()}
    details = [f"{job.recipe} {' '.join(job.settings)}", *(f"{name}: {why}" for name, why in judged.refused.items())]
    return Line(PART, job.name, "passed", figures, "; ".join(details))


def _exported(job: Job, checkpoint: Path, bundle: Path) -> tuple[Path, dict[str, str]]:
    """Export with every precision that gets a certificate: one that does not is left out, and why is kept."""
    precisions = list(job.lowered)
    refused: dict[str, str] = {}
    while True:
        flags = (f"--{name}" for name in precisions)
        command = Invocation("mde-export", checkpoint, *flags, "--engine", "none", "-o", bundle)
        problem = command.error()
        if problem is None:
            return bundle, refused
        if not precisions:
            raise VerdictError(problem)
        refused[precisions.pop()] = problem


def _accuracy(model: Path, data: Path, target: Path, *arguments: str) -> FileAccuracy:
    Invocation("mde-bench", "accuracy", model, "--data", data, *arguments, "--json", target).run()
    return records.loads(FileAccuracy, target.read_bytes(), str(target))


def _latency(bundle: Path, data: Path, target: Path) -> dict[str, float]:
    """The median of every faithful row that this machine runs, by `mde-bench run`."""
    Invocation("mde-bench", "run", bundle, "--data", data, "--json", target, "--frames", 16, "--allow-noisy").run(
        (0, 1)
    )
    result = read_result(target)
    return {row.name: 1e3 * row.speed.end_to_end.p50_s for row in result.rows if row.speed and is_sound(result, row)}
