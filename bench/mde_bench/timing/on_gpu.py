"""A candidate's memory and time on its GPU, beside the times that the host sees."""

from dataclasses import dataclass

from mde_bench.machine.nvml import energy_j
from mde_bench.timing.device_times import DeviceTimes
from mde_bench.timing.trtexec import Trtexec, find_trtexec, time_engine
from mde_bench.timing.worker import Worker
from mde_runtime.engines import store
from mde_runtime.errors import MachineError

NUM_CALLS = 50
ENERGY_S = 2.0  # of calls between two readings: the card's counter is renewed every 0.1 s or so


@dataclass(frozen=True)
class OnGpu:
    """What a candidate does on its GPU. None: that cannot be told there."""

    memory_bytes: int | None  # that its process holds
    times: DeviceTimes | None
    times_absent_because: str | None
    energy_j: float | None  # of a frame, of the whole card with what it uses at rest
    trtexec: Trtexec | None  # on the same engine; None also where trtexec is not installed, or cannot
    trtexec_absent_because: str | None


def on_gpu(worker: Worker) -> OnGpu:
    """Look at a candidate that has been measured, whose figures stand whatever fails here.

    Raises CandidateError when its process ends.
    """
    memory_bytes, found = worker.device_memory_bytes(), worker.device_times(NUM_CALLS)
    times, times_absent_because = (None, found) if isinstance(found, str) else (found, None)
    energy = _energy_of_a_frame(worker)
    try:
        beside, absent_because = _trtexec(times), None
    except MachineError as error:
        beside, absent_because = None, str(error)
    return OnGpu(memory_bytes, times, times_absent_because, energy, beside, absent_because)


def _energy_of_a_frame(worker: Worker) -> float | None:
    """What the card uses while the candidate computes one frame after the other, over their number."""
    before = energy_j()
    if before is None:
        return None
    num_frames = worker.busy(ENERGY_S)
    after = energy_j()
    return None if after is None else (after - before) / num_frames


def _trtexec(times: DeviceTimes | None) -> Trtexec:
    """trtexec on the engine that was timed. Raises MachineError that says why it has no figure."""
    program = find_trtexec()
    if program is None:
        raise MachineError("trtexec is not installed here")
    engine_sha256 = times.engine_sha256 if times else None
    for entry in store.entries():
        if entry.record and entry.record.engine_sha256 == engine_sha256 and entry.record.key.flavour == "tensorrt":
            engine, _ = store.read(entry)
            return time_engine(program, engine)
    raise MachineError("trtexec runs TensorRT's engines only")
