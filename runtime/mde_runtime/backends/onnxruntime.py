"""ONNX Runtime: the CPU everywhere, CUDA where onnxruntime-gpu is installed."""

import contextlib
import io
import platform
from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from mde_runtime import installation
from mde_runtime.backends import Arrays, Graph, Session
from mde_runtime.errors import BadInputError, MachineError, reason_of
from mde_runtime.machine import gpu_name, this_machine
from mde_runtime.onnx_graph.unsigned import with_unsigned_activations
from mde_runtime.precision import Precision

try:
    import onnxruntime as ort  # heavy, and fine here: this file loads only when it is chosen
except ImportError as error:
    raise MachineError(
        f"onnxruntime does not load here ({error}); {installation.adding('cpu')}, or for CUDA [gpu], never both"
    ) from error
else:
    from mde_runtime.backends.onnxruntime_bound import Binding, can_be_bound

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
EXTRAS = {"cpu": "cpu", "cuda": "gpu"}
REPLACED = {"cpu": "onnxruntime-gpu", "cuda": "onnxruntime"}  # two of them overwrite each other
LOG_ERRORS_ONLY = 3  # a library's warnings about its own optimiser say nothing to the user of a depth map
OUT_OF_MEMORY = ("Failed to allocate memory", "out of memory")  # its arena's words, and CUDA's
_state = ort.capi.onnxruntime_pybind11_state
FAILURES = (  # its exceptions share no parent
    _state.EngineError,
    _state.EPFail,
    _state.Fail,
    _state.InvalidArgument,
    _state.InvalidGraph,
    _state.InvalidProtobuf,
    _state.NoModel,
    _state.NotImplemented,
    _state.RuntimeException,
)


def open(graph: Graph, variant: str, num_threads: int | None) -> Session:
    """Open an ONNX graph on the CPU or on CUDA; see `mde_runtime.backends.open_session`."""
    provider = PROVIDERS[variant]
    if provider not in ort.get_available_providers():
        here = installation.this_installation()
        raise MachineError(
            f"onnxruntime {ort.__version__} here has no {provider}; "
            f"replace it: {here.removing(REPLACED[variant])}, then {here.adding(EXTRAS[variant])}"
        )
    content = graph.content()
    try:
        session, how = _cuda_session(content) if variant == "cuda" else _cpu_session(content, num_threads)
    except FAILURES as error:
        raise BadInputError(
            f"onnxruntime {ort.__version__} refuses the graph: {reason_of(error)}; export it again"
        ) from error
    if session.get_providers()[0] != provider:  # it takes the CPU instead, with a line in its log and no error
        raise MachineError(
            f"onnxruntime {ort.__version__} has {provider} but cannot start it on this machine; "
            "look for the missing library or driver with mde-doctor, or take --backend onnxruntime-cpu"
        )
    return OrtSession(session, variant, how)


class OrtSession:
    """An onnxruntime session whose provider was checked."""

    def __init__(self, session: ort.InferenceSession, variant: str, how: str):
        self._binding = Binding(session, variant) if variant == "cuda" and can_be_bound(session) else None
        self._session, self._names = session, [output.name for output in session.get_outputs()]
        batch = next((tensor.shape[0] for tensor in session.get_inputs() if tensor.shape), None)
        self.max_batch = batch if isinstance(batch, int) else None  # an open axis has a name, or nothing
        self.arithmetic = _arithmetic(variant)
        self.device = this_machine().cpu if variant == "cpu" else gpu_name()
        self.executor = f"onnxruntime {ort.__version__} {PROVIDERS[variant]}, {how}"

    def run(self, feeds: Mapping[str, npt.NDArray[Any]], out: Mapping[str, npt.NDArray[Any]] | None = None) -> Arrays:
        """Every output of the graph, by name."""
        try:
            if self._binding is not None:
                return self._binding.run(feeds, out)
            if out is None:
                return dict(zip(self._names, self._session.run(self._names, feeds), strict=True))
            binding = self._session.io_binding()
            for name, array in feeds.items():
                binding.bind_cpu_input(name, array)
            for name, array in out.items():
                binding.bind_output(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
            self._session.run_with_iobinding(binding)
            return dict(out)
        except (*FAILURES, ValueError) as error:  # ValueError: a name that the graph does not have
            if any(words in str(error) for words in OUT_OF_MEMORY):
                raise MachineError(
                    f"{self.executor} cannot run the graph: the memory of {self.device} is full; close what else uses "
                    "it, or take fewer frames at once"
                ) from error
            raise BadInputError(
                f"{self.executor} cannot run the graph: {reason_of(error)}; feed what it takes"
            ) from error

    def close(self) -> None:
        """Free the memory: onnxruntime does with the last reference."""
        self._session = self._binding = None


def _cpu_session(graph: bytes, num_threads: int | None) -> tuple[ort.InferenceSession, str]:
    session = ort.InferenceSession(
        with_unsigned_activations(graph), _options(num_threads), providers=[PROVIDERS["cpu"]]
    )
    return session, f"half computed in {_arithmetic('cpu')['fp16']}"


def _cuda_session(graph: bytes) -> tuple[ort.InferenceSession, str]:
    """A session that captures a frame as one CUDA graph; without one where the graph does not let it, and says so."""
    _load_cuda()
    exact = {"use_tf32": "0"}  # TF32 rounds FP32 to 10 bits of mantissa, and is on by default
    try:
        session = ort.InferenceSession(
            graph, _options(None), providers=[(PROVIDERS["cuda"], {**exact, "enable_cuda_graph": "1"})]
        )
        if can_be_bound(session):
            return session, "one CUDA graph a frame"
        reason = "its sizes are open"
    except FAILURES as error:
        reason = reason_of(error)
    session = ort.InferenceSession(graph, _options(None), providers=[(PROVIDERS["cuda"], exact)])
    return session, f"no CUDA graph ({reason})"


def _load_cuda() -> None:
    """Load NVIDIA's libraries where pip installed them: its provider looks for them in the system's places alone."""
    load = getattr(ort, "preload_dlls", None)  # absent before 1.21, which JetPack's own may be
    if load is not None:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does not find, and stdout is for results
            load()


def _options(num_threads: int | None) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.log_severity_level = LOG_ERRORS_ONLY
    options.inter_op_num_threads = 1  # a depth network is one chain: a second pool has nothing to run beside it
    if num_threads is not None:
        options.intra_op_num_threads = num_threads
    return options


def _arithmetic(variant: str) -> Mapping[Precision, str]:
    if variant == "cuda":
        return {"fp32": "fp32", "fp16": "fp16", "int8": "fp32"}  # it has no kernel of a convolution in INT8
    is_arm = platform.machine() in ("aarch64", "arm64")  # has half kernels for some operators where the chip has them
    return {"fp32": "fp32", "fp16": "fp16 or fp32" if is_arm else "fp32", "int8": "int8"}
