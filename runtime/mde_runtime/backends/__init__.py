"""Backends: one file and one table line for each thing that can run a graph. Their libraries load when opened.

No backend measures, resizes or picks a fallback.
"""

import importlib
import importlib.util
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from mde_runtime.errors import UsageError
from mde_runtime.files import sha256_of
from mde_runtime.nearest import did_you_mean
from mde_runtime.precision import Precision

if TYPE_CHECKING:  # --help shows the table, and needs no numpy
    import numpy.typing as npt

    Array = npt.NDArray[Any]

Arrays = dict[str, "Array"]  # tensor name to array: what a dtype is stands in the graph


class Graph:
    """An ONNX graph, known by its hash before it is read: what it was compiled to may be loaded meanwhile."""

    def __init__(self, sha256: str, read: Callable[[], bytes]):
        """read: gives the content, its hash checked; called once, when it is first needed."""
        self.sha256, self._read = sha256, read
        self._reading: Future[bytes] | None = None

    def read_ahead(self) -> None:
        """Begin to read, in a thread of its own."""
        self._begun()

    def content(self) -> bytes:
        """The graph's bytes. Raises what reading them raises."""
        return self._begun().result()

    def raise_if_unreadable(self) -> None:
        """Raises what reading raised, where it was read at all."""
        if self._reading is not None:
            self._reading.result()

    def _begun(self) -> Future[bytes]:
        if self._reading is None:
            pool = ThreadPoolExecutor(1)
            self._reading = pool.submit(self._read)
            pool.shutdown(wait=False)
        return self._reading


class Session(Protocol):
    """A graph opened on a device. Host arrays in and out, by tensor name. For one thread at a time."""

    executor: str  # in words: library, version, what it really runs on
    device: str  # the chip's name
    max_batch: int | None  # frames that one run takes; None: any number
    arithmetic: Mapping[Precision, str]  # what the operators of a graph of each precision are really computed in

    def run(self, feeds: Mapping[str, "Array"], out: "Mapping[str, npt.NDArray[Any]] | None" = None) -> Arrays:
        """Every output of the graph for `feeds`. The arrays belong to the caller, those fed too: nothing writes there.

        out: an array for every output, contiguous and of its shape and dtype, that is written to and given back.
        """
        ...

    def close(self) -> None:
        """Finish what is at work and give back the device's memory. Closing twice is harmless; running is refused."""
        ...


@runtime_checkable
class DeviceSession(Session, Protocol):
    """A session that can run on data that is on its device already."""

    device_batch: int  # frames of one such run

    def run_on(self, stream: int, pointers: Mapping[str, int], after: Collection[int] = ()) -> None:
        """Queue one run on the caller's stream, from and to device memory by tensor name. Waits for nothing.

        after: further streams; on the device the run waits for what is queued there.
        """
        ...


class Lane(Protocol):
    """A way through a session for one run at a time; while it computes, another lane takes the next inputs."""

    def start(self, feeds: Mapping[str, "Array"]) -> None:
        """Take the inputs, which are the caller's again, and begin. Waits for nothing that computes."""
        ...

    def finish(self) -> Arrays:
        """Wait for what was started; every output of the graph. The arrays belong to the caller."""
        ...

    def drop(self) -> None:
        """Wait for what was started, if anything was, and forget it. Harmless after the session was closed."""
        ...


@runtime_checkable
class PipelinedSession(Session, Protocol):
    """A session that works on several runs at once. Where its lanes are in use, `run` is not."""

    def lanes(self) -> Sequence[Lane]:
        """The lanes, made when they are first asked for."""
        ...


@runtime_checkable
class CachedSession(Session, Protocol):
    """A session of a backend that keeps what it compiled, and loads it the next time."""

    is_from_cache: bool  # this one was loaded; else it was compiled now


@runtime_checkable
class BuiltSession(Session, Protocol):
    """A session of an engine that was built before: which one, and what its layers really compute in."""

    engine_sha256: str

    def share_in(self, arithmetic: str, without: Collection[str]) -> float | None:
        """The share of the multiply-adds that are done in an arithmetic, but for the nodes `without`.

        None where the engine does not tell.
        """
        ...


@dataclass(frozen=True)
class Backend:
    """A row of the table: the module that has `open(graph, variant, num_threads)`, and which of its variants."""

    module: str
    variant: str
    device: Literal["cuda", "cpu", "none"]  # none: runs no graph, for tests of the layers above
    library: str = ""  # that it imports; empty: none
    goal: Literal["latency", "throughput"] = (
        "latency"  # throughput: many frames per second, each later than it could be
    )


BACKENDS = {  # in the order in which an automatic choice tries them where nothing was measured
    "tensorrt": Backend("mde_runtime.backends.tensorrt", "tensorrt", "cuda", "tensorrt"),
    "tensorrt-rtx": Backend("mde_runtime.backends.tensorrt", "tensorrt-rtx", "cuda", "tensorrt_rtx"),
    "onnxruntime-cuda": Backend("mde_runtime.backends.onnxruntime", "cuda", "cuda", "onnxruntime"),
    "openvino": Backend("mde_runtime.backends.openvino", "f32", "cpu", "openvino"),
    "onnxruntime-cpu": Backend("mde_runtime.backends.onnxruntime", "cpu", "cpu", "onnxruntime"),
    "openvino-bf16": Backend("mde_runtime.backends.openvino", "bf16", "cpu", "openvino"),  # after all that keep FP32
    "openvino-throughput": Backend("mde_runtime.backends.openvino", "f32-throughput", "cpu", "openvino", "throughput"),
    "null": Backend("mde_runtime.backends.null", "", "none"),
}
MAX_OPEN_BATCH = 8  # frames a run where the graph takes any number: bounds the memory
LISTED = tuple(name for name, row in BACKENDS.items() if row.device != "none")  # those that a user can choose


def frames_a_run(session: Session) -> int:
    """How many frames of a batch go through a session at once; verification runs as many."""
    if session.max_batch is not None:
        return session.max_batch
    return 1 if isinstance(session, PipelinedSession) else MAX_OPEN_BATCH  # lanes keep a CPU busy


def has_library() -> bool:
    """Whether the library of any backend is installed; whether it runs here is another question."""
    return any(importlib.util.find_spec(row.library) is not None for row in BACKENDS.values() if row.library)


def open_session(backend: str, graph: bytes | Graph, *, num_threads: int | None = None) -> Session:
    """Open a graph on a backend of the table. num_threads None: as many as the library thinks right for one frame.

    Raises UsageError for an unknown backend, MachineError where this machine cannot, BadInputError for a bad graph.
    """
    if backend not in BACKENDS:
        raise UsageError(f"unknown backend {backend!r}{did_you_mean(backend, LISTED)}; choose from {', '.join(LISTED)}")
    if num_threads is not None and num_threads < 1:
        raise UsageError(
            f"{num_threads} is not a number of threads; use 1 or more, or leave it out for the library's default"
        )
    row = BACKENDS[backend]
    if isinstance(graph, bytes):
        graph = Graph(sha256_of(graph), lambda content=graph: content)  # type: ignore[misc]  # mypy knows no default
    session: Session = importlib.import_module(row.module).open(graph, row.variant, num_threads)
    return session
