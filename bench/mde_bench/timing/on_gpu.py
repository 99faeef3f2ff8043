"""A candidate's memory and time on its GPU, beside the times that the host sees."""

from dataclasses import dataclass

from mde_bench.timing.device_times import DeviceTimes
from mde_bench.timing.trtexec import Trtexec, find_trtexec, time_engine
from mde_bench.timing.worker import Worker
from mde_runtime.engines import store
from mde_runtime.errors import MachineError

NUM_CALLS = 50


@dataclass(frozen=True)
class OnGpu:
    """What a candidate does on its GPU. None: that cannot be told there."""

    memory_bytes: int | None  # that its process holds
    times: DeviceTimes | None
    trtexec: Trtexec | None  # on the same engine; None also where trtexec is not installed, or cannot
    trtexec_absent_because: str | None


def on_gpu(worker: Worker) -> OnGpu:
    """Look at a candidate that has been measured. Raises CandidateError when it fails."""
    memory_bytes, times = worker.device_memory_bytes(), worker.device_times(NUM_CALLS)
    try:
        beside, absent_because = _trtexec(times), None
    except MachineError as error:
        beside, absent_because = None, str(error)
    return OnGpu(memory_bytes, times, beside, absent_because)


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
