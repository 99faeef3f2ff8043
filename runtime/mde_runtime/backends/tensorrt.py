"""TensorRT and TensorRT-RTX: an engine of this machine's cache on the GPU. Not run on a GPU by this project yet.

`open` never builds, and deserialises only bytes whose hash was just checked, with host code and plugins off.
"""

import os
import weakref
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mde_runtime.backends import Arrays, Graph, Lane, Session
from mde_runtime.cache import get_blob, put_blob
from mde_runtime.cuda import Cuda, open_cuda, version_text
from mde_runtime.cuda.owned import Owned
from mde_runtime.engines import store
from mde_runtime.engines.build import DEFAULTS
from mde_runtime.engines.build_log import BuildLog
from mde_runtime.engines.flavours import Flavour, library_of
from mde_runtime.engines.inspector import arithmetic_of, share_of
from mde_runtime.engines.key import EngineRecord, key_for
from mde_runtime.engines.runner import Runner, Tensor
from mde_runtime.errors import MachineError, UsageError
from mde_runtime.precision import Precision

MOST_LOGGED = 100  # entries of a session's log: a service lives for months, and the library may warn at every run


def open(graph: Graph, variant: Flavour, num_threads: int | None) -> Session:  # noqa: ARG001  the GPU has its own
    """Open the engine that this machine has of an ONNX graph; see `mde_runtime.backends.open_session`."""
    key = key_for(graph.sha256, variant, DEFAULTS)
    cuda = open_cuda()
    engine, record = store.find(key)
    with cuda.current():
        return EngineSession(cuda, library_of(variant), engine, record)


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
                f"{flavour} {library.__version__} refuses the engine ({log.cause()}); build it again here: "
                "mde-bundle engine MODEL"
            )
        self._cuda, self._library, self._is_mapped = cuda, library, gpu.is_integrated
        kernels = _KernelCache(record, gpu.name) if flavour == "tensorrt-rtx" else None
        self._alive = [log, runtime, engine, kernels]  # each needs those before it, and a list is cleared from its end
        with Owned() as owned:
            owned.give_back(self._alive.clear)
            self._runners = [self._new_runner(owned)]
            if kernels:
                kernels.keep()
            inspector = engine.create_engine_inspector()
            self._inspected = str(inspector.get_engine_information(library.LayerInformationFormat.JSON))
            self._owned = owned.pop_all()
        self._process = os.getpid()
        self._free = weakref.finalize(self, _free, cuda, self._owned, self._process)
        real = arithmetic_of(self._inspected)
        self.arithmetic: Mapping[Precision, str] = {"fp32": real, "fp16": real, "int8": real}
        self.max_batch: int | None = self._runners[0].max_batch
        self.engine_sha256 = record.engine_sha256
        self.is_from_cache = kernels is None or kernels.were_kept  # an engine is always built before
        self.executor = (
            f"{flavour} {library.__version__}, engine {record.engine_sha256[:12]}, "
            f"driver of CUDA {version_text(gpu.driver_version)}, {gpu.memory_bytes >> 20} MiB, {cuda.name}, "
            f"{self._runners[0].how}"
        )
        self.device = gpu.name

    def run(self, feeds: Mapping[str, npt.NDArray[Any]], out: Mapping[str, npt.NDArray[Any]] | None = None) -> Arrays:
        """Every output of the graph, by name."""
        return self._opened().run(feeds, out)

    def lanes(self) -> Sequence[Lane]:
        """Two: while one computes a frame, the next is on its way to the other."""
        self._opened()
        if len(self._runners) == 1:
            with self._cuda.current():
                self._runners.append(self._new_runner(self._owned))
        return self._runners

    def share_in(self, arithmetic: str, without: Collection[str]) -> float | None:
        """The share of the multiply-adds that are done in an arithmetic, but for the nodes `without`."""
        return share_of(self._inspected, arithmetic, without)

    def run_on(self, stream: int, pointers: Mapping[str, int]) -> None:
        """Queue one run on the caller's CUDA stream, from and to device memory by tensor name. Waits for nothing."""
        self._opened().run_on(stream, pointers)

    def close(self) -> None:
        """Give the device's memory back, whatever of it fails. Closing twice is harmless."""
        self._runners = []
        if self._free.alive:
            _free(self._cuda, self._owned, self._process)
            self._free.detach()  # not before: where CUDA gave no context, closing again or the exit tries once more

    def _opened(self) -> Runner:
        if not self._runners:
            raise UsageError("this estimator is closed; open the bundle again")
        return self._runners[0]

    def _new_runner(self, owned: Owned) -> Runner:
        """A runner with a context of its own, which lives as long as it does. owned: closes it."""
        log, _, engine, kernels = self._alive
        context = kernels.context(engine) if kernels else engine.create_execution_context()
        if context is None:
            raise MachineError(f"the engine gives no context ({log.cause()}); close what else uses the GPU")
        tensors = _tensors(self._library, engine, context)
        runner = Runner(
            self._cuda, tensors, context.set_tensor_address, context.execute_async_v3, is_mapped=self._is_mapped
        )
        owned.give_back(runner.close)
        return runner


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
            raise MachineError("TensorRT-RTX refuses its own cache of kernels; mde-bundle cache prune, and open again")
        return engine.create_execution_context(config)

    def keep(self) -> None:
        """Keep the kernels, where some are new."""
        if (content := bytes(self._cache.serialize())) != self._known:
            put_blob("kernels", self._key, content)


def _tensors(library: Any, engine: Any, context: Any) -> tuple[Tensor, ...]:
    """Every tensor at the shape that it runs at: an open batch at the largest of the profile."""
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    inputs = {name for name in names if engine.get_tensor_mode(name) == library.TensorIOMode.INPUT}
    for name in inputs:
        if -1 in tuple(engine.get_tensor_shape(name)):
            _, _, largest = engine.get_tensor_profile_shape(name, 0)
            if not context.set_input_shape(name, largest):
                raise MachineError(f"the engine refuses {largest} for {name}, its own largest shape; build it again")
    if missing := context.infer_shapes():
        raise MachineError(f"the engine leaves the shape of {', '.join(missing)} open; build it again")
    return tuple(
        Tensor(
            name,
            tuple(context.get_tensor_shape(name)),
            np.dtype(library.nptype(engine.get_tensor_dtype(name))),
            name in inputs,
        )
        for name in names
    )
