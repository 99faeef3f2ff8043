"""One way to build an engine, and how far its depth is off on this machine."""

from dataclasses import dataclass

from mde_export.judge.certify import Trial
from mde_export.judge.evidence import Evidence
from mde_export.precision.islands import names_in
from mde_export.precision.repair import worst_frames
from mde_runtime import files
from mde_runtime.backends.tensorrt import open_engine
from mde_runtime.bundle import Golden
from mde_runtime.certificate import Island
from mde_runtime.cuda import open_cuda
from mde_runtime.engines.build import BuildOptions
from mde_runtime.engines.flavours import Flavour
from mde_runtime.engines.key import EngineRecord, key_for
from mde_runtime.errors import MachineError
from mde_runtime.verify import judge

NUM_FRAMES = 8  # as many as a bundle has golden frames: the worst of the certificate


@dataclass(frozen=True)
class Attempt:
    """An engine, how it was built, and what was made of it."""

    options: BuildOptions
    islands: tuple[Island, ...]  # of its graph
    engine: bytes
    breaches: tuple[str, ...] | None  # the limits that its depth misses; None: no GPU here to run it


def judged_here(
    engine: bytes,
    graph: bytes,
    flavour: Flavour,
    options: BuildOptions,
    trial: Trial,
    islands: tuple[Island, ...],
    evidence: Evidence,
) -> tuple[str, ...] | None:
    """The limits that an engine of the graph misses, as a verification has them; None where this machine has no GPU.

    Where it has one on which the engine does not run, that is a breach.
    """
    try:
        gpu = open_cuda().gpu()
    except MachineError:
        return None
    few = evidence.subset(worst_frames(trial, evidence, NUM_FRAMES))
    golden = Golden(few.pictures.frames[:], few.depth_m[:])
    key = key_for(files.sha256_of(graph), flavour, options)
    record = EngineRecord(key, files.sha256_of(engine), len(engine), 0.0, gpu)
    try:
        session = open_engine(engine, record)
    except MachineError as error:
        return (str(error),)
    try:
        _, breaches = judge(session, trial.precision, golden, evidence.contract, names_in(islands), "the export")
    except MachineError as error:
        return (str(error),)
    finally:
        session.close()
    return breaches
