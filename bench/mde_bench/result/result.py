"""The result of a run, as it is kept: `mde-bench run --json FILE`. Format: docs/schema/."""

from dataclasses import dataclass
from pathlib import Path

from mde_bench.accuracy.anatomy import Anatomy
from mde_bench.machine.conditions import Conditions
from mde_bench.machine.roofline import Physics
from mde_bench.timing.modes.figures import ModeFigures
from mde_bench.timing.on_gpu import OnGpu
from mde_bench.timing.samples import Samples
from mde_bench.timing.statistics import Latency, Ratio
from mde_runtime import files, records
from mde_runtime.bundle import Provenance
from mde_runtime.certificate import Certificate
from mde_runtime.contract import Contract
from mde_runtime.errors import BadInputError
from mde_runtime.parity import Parity
from mde_runtime.precision import Precision
from mde_runtime.protocols.figures import Figures

SCHEMA = 3  # 3: R² and AbsRel of parity, R² of limits, effort


@dataclass(frozen=True)
class Speed:
    """How fast: the three latencies apart, and what the process paid. The raw samples stand beside."""

    end_to_end: Latency  # frame in, depth out, as a user of it calls
    backend: Latency  # the backend's own call
    host: Latency  # the rest: what is ours
    cpu_s: float  # processor time of all threads, median of the calls
    preempted_share: float | None  # of the calls that the system interrupted; None: Windows does not count
    peak_memory_bytes: int | None  # None as above
    device: OnGpu | None  # None on a CPU
    ratio: Ratio | None  # end to end over the reference's; None for the reference itself
    samples: Samples


@dataclass(frozen=True)
class FrameError:
    """How far a candidate is off on one frame, metres."""

    name: str
    truth_rmse_m: float  # over the valid pixels, truth clipped to the contract's range
    reference_rmse_m: float  # 0 for the reference itself


@dataclass(frozen=True)
class Row:
    """One candidate. failure: why it was taken out; what was found before that is kept."""

    name: str
    backend: str
    precision: Precision
    executor: str | None  # what really ran, in words; None: it never opened
    failure: str | None
    speed: Speed | None
    physics: Physics | None
    physics_absent_because: str | None  # a chip whose peak is not known, or a graph that could not be counted
    modes: ModeFigures | None  # None: no mode was asked for beside the single stream
    parity: Parity | None  # None for the reference itself
    parity_breaches: tuple[str, ...]  # limits of its precision that it does not keep
    accuracy: Figures | None
    anatomy: Anatomy | None  # where the error against the truth sits
    frames: tuple[FrameError, ...]  # in the order of the data


@dataclass(frozen=True)
class RunInputs:
    """What was measured, and on what."""

    bundle: str  # file name, without its folder
    bundle_sha256: str
    fp32_sha256: str  # of its FP32 graph: which model it is
    checkpoint_sha256: str | None
    data_sha256: str  # of the whole split
    split: str
    num_frames: int
    num_frames_in_split: int
    reference: str  # what parity is held against, in words
    contract: Contract
    certificates: dict[Precision, Certificate]
    provenance: Provenance


@dataclass(frozen=True)
class Result:
    """One run."""

    schema: int
    tool: str
    is_complete: bool  # False: the run was ended half-way, and these are the rows that it had
    started: str  # UTC, ISO 8601
    seconds: float
    effort: str  # a row of `mde_bench.timing.effort`: how long was measured
    conditions: Conditions
    judged: RunInputs
    rows: tuple[Row, ...]  # the reference first
    absent: dict[str, str]  # candidates that this machine cannot run, and why
    invalid_because: tuple[str, ...]  # empty: the measurement is valid
    num_windows_discarded: int  # measured before the one that counts, because figures had not settled


def save(result: Result, target: Path) -> None:
    """Write the result as JSON, whole or not at all. A stream gets a complete one alone: it takes nothing back."""
    if result.is_complete or not files.is_stream(target):
        files.write_text(target, records.dumps(result))


def read_result(path: Path) -> Result:
    """Read a result. Raises BadInputError when it is not one, or of another schema."""
    try:
        text = files.read_small(path)
    except FileNotFoundError as error:
        raise BadInputError(f"{path}: no such file; make one: mde-bench run BUNDLE --data DIR --json {path}") from error
    content = records.parse(text, str(path))
    if isinstance(content, dict) and content.get("schema", SCHEMA) != SCHEMA:
        raise BadInputError(f"{path}: bench schema {content['schema']}, this version reads {SCHEMA}; measure again")
    return records.from_json(Result, content, str(path))
