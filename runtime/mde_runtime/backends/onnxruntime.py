"""ONNX Runtime: the CPU everywhere, CUDA where onnxruntime-gpu is installed."""

import contextlib
import io
import platform
import re
from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from mde_runtime import installation
from mde_runtime.backends import Arrays, Graph, Session
from mde_runtime.errors import BadInputError, MachineError, reason_of
from mde_runtime.machine import gpu_name, this_machine
from mde_runtime.onnx_graph.unsigned import with_unsigned_activations
from mde_runtime.precision import Precision
from mde_runtime.quiet import kept_c_lines

try:
    import onnxruntime as ort  # heavy, and fine here: this file loads only when it is chosen
except ImportError as error:
    raise MachineError(
        f"onnxruntime cannot be loaded ({error}); {installation.adding('cpu')}, or for CUDA [gpu], never both"
    ) from error
else:
    from mde_runtime.backends.onnxruntime_bound import Binding, can_be_bound

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
EXTRAS = {"cpu": "cpu", "cuda": "gpu"}
REPLACED = {"cpu": "onnxruntime-gpu", "cuda": "onnxruntime"}  # two of them overwrite each other
LOG_ERRORS_ONLY = 3  # a library's warnings about its own optimiser say nothing to the user of a depth map
OPTION = "provider option"  # what it says of one that it does not know
COLOUR = re.compile(r"\x1b\[[\d;]*m")
# `Failed to load library X with error: Y`, `CUDA failure 35: ...`, `Require cuDNN 9.* and CUDA 13.*`.
CAUSE = re.compile(r"(?:with error: |(?=CUDA failure)|(?=Require ))(.+)")
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
            f"{here.removing(REPLACED[variant])}, then {here.adding(EXTRAS[variant])}"
        )
    content = graph.content()
    said: list[str] = []
    try:
        session, how = _cuda_session(content, said) if variant == "cuda" else _cpu_session(content, num_threads)
    except FAILURES as error:
        reason = reason_of(error)
        if OPTION in reason:  # the graph is not to blame
            raise MachineError(
                f"onnxruntime {ort.__version__} is too old for this program: {reason}; update onnxruntime-gpu"
            ) from error
        raise BadInputError(f"onnxruntime {ort.__version__} rejects the graph: {reason}; export it again") from error
    if session.get_providers()[0] != provider:  # it takes the CPU instead, with a line in its log and no error
        raise MachineError(
            f"onnxruntime {ort.__version__} has {provider} but cannot start it here ({_cause_in(said)}); "
            f"{installation.adding('gpu')} brings CUDA and cuDNN, the driver is NVIDIA's; or take "
            "--backend onnxruntime-cpu"
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
                    f"{self.executor} cannot run the graph: the memory of {self.device} is full; close other "
                    "programs that use it, or run fewer frames at once"
                ) from error
            raise BadInputError(
                f"{self.executor} cannot run the graph: {reason_of(error)}; check the shape and type of the input"
            ) from error

    def close(self) -> None:
        """Free the memory: onnxruntime does with the last reference."""
        self._session = self._binding = None


def _cpu_session(graph: bytes, num_threads: int | None) -> tuple[ort.InferenceSession, str]:
    session = ort.InferenceSession(
        with_unsigned_activations(graph), _options(num_threads), providers=[PROVIDERS["cpu"]]
    )
    return session, f"half computed in {_arithmetic('cpu')['fp16']}"


def _cuda_session(graph: bytes, said: list[str]) -> tuple[ort.InferenceSession, str]:
    """A session that captures a frame as one CUDA graph; without one where the graph does not let it, and says so.

    said: gets what the library wrote to stdout and stderr meanwhile.
    """
    said += _load_cuda()
    exact = {"use_tf32": "0"}  # TF32 rounds FP32 to 10 bits of mantissa, and is on by default
    try:
        session = _started(graph, {**exact, "enable_cuda_graph": "1"}, said)
        if session.get_providers()[0] != PROVIDERS["cuda"] or can_be_bound(session):
            return session, "one CUDA graph per frame"
        reason = "its shapes are dynamic"
    except FAILURES as error:
        reason = reason_of(error)
    return _started(graph, exact, said), f"no CUDA graph ({reason})"


def _started(graph: bytes, options: Mapping[str, str], said: list[str]) -> ort.InferenceSession:
    with kept_c_lines() as lines:
        session = ort.InferenceSession(graph, _options(None), providers=[(PROVIDERS["cuda"], dict(options))])
    said += lines
    return session


def _load_cuda() -> list[str]:
    """Load NVIDIA's libraries where pip installed them: its provider looks for them in the system's places alone.

    Gives what it says of those that it does not find.
    """
    load = getattr(ort, "preload_dlls", None)  # absent before 1.21, which JetPack's own may be
    if load is None:
        return []
    with contextlib.redirect_stdout(io.StringIO()) as said:  # it prints, and stdout is for results
        load()
    return said.getvalue().splitlines()


def _cause_in(said: list[str]) -> str:
    """Why the provider did not start, in the library's own words: the first of its errors, without colour and place."""
    plain = [COLOUR.sub("", line).strip() for line in said]
    causes = [found[1] for line in plain if (found := CAUSE.search(line))]
    return reason_of(RuntimeError(next(iter(causes or plain), "it does not say why")))


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
