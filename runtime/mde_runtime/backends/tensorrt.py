"""TensorRT and TensorRT-RTX: an engine of this machine's cache on the GPU. Not run on a GPU by this project yet.

`open` never builds, and deserialises only bytes whose hash was just checked, with host code and plugins off.
"""

import functools
import os
import weakref
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mde_runtime.backends import Arrays, Graph, Lane, Session
from mde_runtime.cache import get_blob, put_blob
from mde_runtime.cuda import Cuda, Gpu, open_cuda, version_text
from mde_runtime.cuda.owned import Owned
from mde_runtime.engines import store
from mde_runtime.engines.build import DEFAULTS, MARK
from mde_runtime.engines.build_log import BuildLog
from mde_runtime.engines.flavours import Flavour, library_of
from mde_runtime.engines.inspector import arithmetic_of, share_of
from mde_runtime.engines.key import EngineRecord, key_for
from mde_runtime.engines.runner import Runner, Tensor
from mde_runtime.errors import MachineError, UsageError
from mde_runtime.precision import Precision

Memory = Literal["mapped", "copied"]
MEMORY: dict[Memory, str] = {  # of frames and depth on a GPU that shares its memory with the CPU
    "mapped": "in shared memory as measured faster here, ",
    "copied": "by copies as measured faster here, ",
}
MOST_LOGGED = 100  # entries of a session's log: a service lives for months, and the library may warn at every run


def open(graph: Graph, variant: Flavour, num_threads: int | None) -> Session:  # noqa: ARG001  the GPU has its own
    """Open the engine that this machine has of an ONNX graph; see `mde_runtime.backends.open_session`."""
    key = key_for(graph.sha256, variant, DEFAULTS)
    open_cuda()  # without a GPU that is what is missing, whatever the store holds
    return open_engine(*store.find(key))


def open_engine(engine: bytes, record: EngineRecord) -> "EngineSession":
    """Open an engine that was just built, or whose hash was just checked."""
    cuda = open_cuda()
    with cuda.current():
        return EngineSession(cuda, library_of(record.key.flavour), engine, record)


class EngineSession:
    """A deserialised engine with one context. Frees its device memory when it is closed, dropped or at exit."""

    def __init__(self, cuda: Cuda, library: Any, content: bytes, record: EngineRecord):  # Any: no types published
        gpu, flavour = cuda.gpu(), record.key.flavour
        log = BuildLog(library, most=MOST_LOGGED)
        runtime = library.Runtime(log.logger)
        runtime.engine_host_code_allowed = record.key.options.version_compatible  # its owner chose so: it carries some
        engine = runtime.deserialize_cuda_engine(content)
        if engine is None:
            raise MachineError(
                f"{flavour} {library.__version__} rejects the engine ({log.cause()}); build it again here: "
                "mde-bundle engine MODEL"
            )
        kernels = _KernelCache(record, gpu.name) if flavour == "tensorrt-rtx" else None
        self._cuda = cuda
        self._alive = [log, runtime, engine, kernels]  # each needs those before it, and a list is cleared from its end
        with Owned() as owned:
            owned.give_back(self._alive.clear)
            self.device_batch, largest = _batches(library, engine)
            makes = _Maker(cuda, library, self._alive, owned)
            memory = _faster_memory(makes, record, gpu, self.device_batch) if gpu.is_integrated else "copied"
            makes.is_mapped = memory == "mapped"
            self._new_lane = functools.partial(_EngineLane, makes, self.device_batch, largest)
            self._lanes = [self._new_lane()]
            if kernels:
                kernels.keep()
            inspector = engine.create_engine_inspector()
            self._inspected = str(inspector.get_engine_information(library.LayerInformationFormat.JSON))
            makes.owned = self._owned = owned.pop_all()
        self._process = os.getpid()
        self._free = weakref.finalize(self, _free, cuda, self._owned, self._process)
        real = arithmetic_of(self._inspected)
        self.arithmetic: Mapping[Precision, str] = {"fp32": real, "fp16": real, "int8": real}
        self.max_batch: int | None = largest
        self.engine_sha256 = record.engine_sha256
        self.is_from_cache = kernels is None or kernels.were_kept  # an engine is always built before
        shared = MEMORY[memory] if gpu.is_integrated else ""
        self.executor = (
            f"{flavour} {library.__version__}, engine {record.engine_sha256[:12]}, "
            f"driver of CUDA {version_text(gpu.driver_version)}, {gpu.memory_bytes >> 20} MiB, {cuda.name}, "
            f"{_batch_in_words(self.device_batch, largest)}{shared}{self._lanes[0].how}"
        )
        self.device = gpu.name

    def run(self, feeds: Mapping[str, npt.NDArray[Any]], out: Mapping[str, npt.NDArray[Any]] | None = None) -> Arrays:
        """Every output of the graph, by name."""
        return self._opened().run(feeds, out)

    def lanes(self) -> Sequence[Lane]:
        """Two: while one computes a frame, the next is on its way to the other."""
        self._opened()
        if len(self._lanes) == 1:
            with self._cuda.current():
                self._lanes.append(self._new_lane())
        return self._lanes

    def share_in(self, arithmetic: str, without: Collection[str]) -> float | None:
        """The share of the multiply-adds that are done in an arithmetic, but for the nodes `without`."""
        return share_of(self._inspected, arithmetic, without)

    def run_on(self, stream: int, pointers: Mapping[str, int], after: Collection[int] = ()) -> None:
        """Queue one run on the caller's CUDA stream, from and to device memory by tensor name. Waits for nothing."""
        self._opened().run_on(stream, pointers, after)

    def close(self) -> None:
        """Give the device's memory back, whatever of it fails. Closing twice is harmless."""
        self._lanes = []
        if self._free.alive:
            _free(self._cuda, self._owned, self._process)
            self._free.detach()  # not before: where CUDA gave no context, closing again or the exit tries once more

    def _opened(self) -> "_EngineLane":
        if not self._lanes:
            raise UsageError("this estimator is closed; open the bundle again")
        return self._lanes[0]


class _Maker:
    """Makes runners of an engine. It knows no session, which is freed as soon as nobody has it any more."""

    def __init__(self, cuda: Cuda, library: Any, alive: list[Any], owned: Owned):  # Any: no types published
        self._cuda, self._library, self._alive, self.owned = cuda, library, alive, owned
        self.is_mapped = False

    def runner(self, batch: int) -> Runner:
        """A runner with a context of its own, both given back by `owned`."""
        return self.runner_of(self.owned, batch, is_mapped=self.is_mapped)

    def runner_of(self, owned: Owned, batch: int, *, is_mapped: bool) -> Runner:
        """The same, given back by an owner of its own."""
        log, _, engine, kernels = self._alive
        with self._cuda.current():
            context = kernels.context(engine) if kernels else engine.create_execution_context()
            if context is None:
                raise MachineError(
                    f"the engine cannot create an execution context ({log.cause()}); close other programs that use "
                    "the GPU"
                )
            tensors = _tensors(self._library, engine, context, batch)
            runner = Runner(
                self._cuda, tensors, context.set_tensor_address, context.execute_async_v3, is_mapped=is_mapped
            )
        owned.give_back(runner.close)
        return runner


def _faster_memory(makes: _Maker, record: EngineRecord, gpu: Gpu, batch: int) -> Memory:
    """Whether an engine is faster on memory that CPU and GPU share, or on copies: measured once, and kept.

    Shared memory saves the copies, but some GPUs do not cache it, and a first layer reads a frame several times.
    """
    key = {"engine": record.engine_sha256, "device": gpu.name, "driver": version_text(gpu.driver_version)}
    if (kept := get_blob("memory", key)) is not None and (known := kept.tobytes().decode(errors="replace")) in MEMORY:
        return known
    spans: dict[Memory, float] = {}
    for memory in MEMORY:
        with Owned() as trial:
            spans[memory] = makes.runner_of(trial, batch, is_mapped=memory == "mapped").seconds_of_a_run()
    faster = min(spans, key=lambda memory: spans[memory])
    put_blob("memory", key, faster.encode())
    return faster


class _EngineLane:
    """Runs of one engine: a runner for the smallest batch, and one for the largest, made when it is first needed.

    So a single frame never takes as long as the largest batch of an engine.
    """

    def __init__(self, makes: _Maker, smallest: int, largest: int):
        self._makes, self._smallest, self._largest = makes, smallest, largest
        self._runners = {smallest: makes.runner(smallest)}
        self._started: Runner | None = None
        self.how = self._runners[smallest].how

    def run(self, feeds: Mapping[str, npt.NDArray[Any]], out: Mapping[str, npt.NDArray[Any]] | None) -> Arrays:
        """Every output for `feeds`; written to `out` where it is given."""
        self._must_be_free()
        return self._runner_for(feeds).run(feeds, out)

    def run_on(self, stream: int, pointers: Mapping[str, int], after: Collection[int]) -> None:
        """Queue one run of the smallest batch on the caller's stream."""
        self._must_be_free()
        self._runners[self._smallest].run_on(stream, pointers, after)

    def start(self, feeds: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take the inputs and queue the run. Waits for nothing."""
        self._must_be_free()
        runner = self._runner_for(feeds)
        runner.start(feeds)
        self._started = runner

    def finish(self) -> Arrays:
        """Wait for the run that was started. Every output."""
        started, self._started = self._started or self._runners[self._smallest], None
        return started.finish()

    def drop(self) -> None:
        """Wait for the run that was started, if any was, and forget it."""
        started, self._started = self._started, None
        if started is not None:
            started.drop()

    def _must_be_free(self) -> None:
        (self._started or self._runners[self._smallest]).must_be_free()

    def _runner_for(self, feeds: Mapping[str, npt.NDArray[Any]]) -> Runner:
        num_frames = max((len(feed) for feed in feeds.values()), default=1)
        batch = self._smallest if num_frames <= self._smallest else self._largest
        if batch not in self._runners:
            self._runners[batch] = self._makes.runner(batch)
        return self._runners[batch]


def _free(cuda: Cuda, owned: Owned, process: int) -> None:
    """Give back what a session made. In a fork of its process there is nothing: CUDA does not work there."""
    if os.getpid() == process:
        with cuda.current():
            owned.close()


class _KernelCache:
    """The kernels that TensorRT-RTX compiled on this GPU: kept, so that the next start need not compile them."""

    def __init__(self, record: EngineRecord, gpu_name: str):
        self._key = {"engine": record.engine_sha256, "version": record.key.version, "device": gpu_name}
        self._cache: Any = None  # Any: no types published
        self._known = b""
        self.were_kept = False

    def context(self, engine: Any) -> Any:
        """A context whose kernels are those of the cache, which all contexts of the engine share."""
        config = engine.create_runtime_config()
        if self._cache is None:
            self._cache = config.create_runtime_cache()
            if (kept := get_blob("kernels", self._key)) is not None:
                self._known = kept.tobytes()
                self.were_kept = bool(self._cache.deserialize(self._known))
        if not config.set_runtime_cache(self._cache):
            raise MachineError(
                "TensorRT-RTX rejects its own kernel cache; run mde-bundle cache prune and open the bundle again"
            )
        return engine.create_execution_context(config)

    def keep(self) -> None:
        """Keep the kernels, where some are new."""
        if (content := bytes(self._cache.serialize())) != self._known:
            put_blob("kernels", self._key, content)


def _batches(library: Any, engine: Any) -> tuple[int, int]:
    """The smallest and the largest number of frames of one run; equal where the graph's N is fixed."""
    name = next(name for name, is_input in _names(library, engine) if is_input)
    shape = tuple(engine.get_tensor_shape(name))
    if -1 not in shape:
        return shape[0], shape[0]
    smallest, _, largest = engine.get_tensor_profile_shape(name, 0)
    return smallest[0], largest[0]


def _batch_in_words(smallest: int, largest: int) -> str:
    """How many frames a run takes, where that is not one."""
    if largest == 1:
        return ""
    return f"batch {largest}, " if smallest == largest else f"batch {smallest} or {largest}, "


def _names(library: Any, engine: Any) -> list[tuple[str, bool]]:
    """Every tensor's name, and whether it is an input."""
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    return [(name, engine.get_tensor_mode(name) == library.TensorIOMode.INPUT) for name in names]


def _tensors(library: Any, engine: Any, context: Any, batch: int) -> tuple[Tensor, ...]:
    """Every tensor at the shape that it runs at: an open batch at `batch` frames."""
    names = _names(library, engine)
    for name, is_input in names:
        shape = tuple(engine.get_tensor_shape(name))
        if is_input and -1 in shape:
            asked = (batch, *shape[1:])
            if not context.set_input_shape(name, asked):
                raise MachineError(f"the engine refuses {asked} for {name}, a shape of its own; build it again")
    if missing := context.infer_shapes():
        raise MachineError(f"the engine does not fix the shape of {', '.join(missing)}; build it again")
    return tuple(
        Tensor(
            name,
            tuple(context.get_tensor_shape(name)),
            np.dtype(library.nptype(engine.get_tensor_dtype(name))),
            is_input,
            is_mark=name.startswith(MARK),
        )
        for name, is_input in names
    )
