"""onnxruntime by itself, without the estimator: as its tutorials call it, and as a bound graph and nothing else.

Takes batches of any size, frames (N, H, W, 3).
"""

import time
from pathlib import Path

import numpy as np
import onnxruntime as ort

from lab.subjects.fixed_batch import ByBatch, with_batch
from mde_bench.timing.candidates import Answer, Depth, Frame
from mde_runtime.bundle import read_bundle
from mde_runtime.errors import MachineError
from mde_runtime.precision import Precision

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
EXACT = {"cpu": {}, "cuda": {"use_tf32": "0"}}  # TF32 rounds FP32 to 10 bits of mantissa, and is on by default
CAPTURING = {"cpu": {}, "cuda": {"enable_cuda_graph": "1"}}
LOG_ERRORS_ONLY = 3


def open_plain(model: str, device: str, precision: Precision) -> "Plain":
    """`session.run`, host arrays in and out."""
    graph = read_bundle(Path(model)).graph(precision)
    return Plain(ByBatch(lambda size: _session(with_batch(graph, size), device, {})), device, precision)


def open_captured(model: str, device: str, precision: Precision) -> "Captured":
    """Inputs and outputs at fixed places on the device, and on a GPU one CUDA graph."""
    graph = read_bundle(Path(model)).graph(precision)
    return Captured(ByBatch(lambda size: Bound(_session(with_batch(graph, size), device, CAPTURING[device]), device)),
                    device, precision)  # fmt: skip


def _session(graph: bytes, device: str, options: dict[str, str]) -> ort.InferenceSession:
    provider, how = PROVIDERS[device], ort.SessionOptions()
    how.log_severity_level = LOG_ERRORS_ONLY
    if provider not in ort.get_available_providers():
        raise MachineError(f"onnxruntime {ort.__version__} here has no {provider}")
    session = ort.InferenceSession(graph, how, providers=[(provider, {**EXACT[device], **options})])
    if session.get_providers()[0] != provider:
        raise MachineError(f"onnxruntime {ort.__version__} has {provider} but cannot start it on this machine")
    return session


class Plain:
    """A session that copies everything at every call."""

    def __init__(self, sessions: ByBatch[ort.InferenceSession], device: str, arithmetic: str):
        self._sessions, self.arithmetic = sessions, arithmetic
        self.executor = f"onnxruntime {ort.__version__} {PROVIDERS[device]}, session.run"
        sessions[1]  # what this machine cannot open is told at once

    def answer(self, frame: Frame) -> Answer:
        """The depth of a batch of frames."""
        session = self._sessions[len(frame)]
        start = time.perf_counter_ns()
        depth_m, num_nonfinite = session.run(["depth_m", "num_nonfinite"], {"frame": frame})
        return Answer(depth_m, int(num_nonfinite.sum()), time.perf_counter_ns() - start)

    def answer_batch(self, frames: Frame) -> Depth:
        """As `answer`."""
        return self.answer(frames).depth_m

    def close(self) -> None:
        """onnxruntime frees with the last reference."""
        self._sessions.opened.clear()


class Bound:
    """A session with its input and outputs on the device."""

    def __init__(self, session: ort.InferenceSession, device: str):
        self.session, self.binding = session, session.io_binding()
        (frame,) = session.get_inputs()
        self.frame = ort.OrtValue.ortvalue_from_shape_and_type(frame.shape, np.uint8, device, 0)
        self.binding.bind_ortvalue_input(frame.name, self.frame)
        self.outputs = {}
        for tensor, dtype in zip(session.get_outputs(), (np.float32, np.int32), strict=True):
            self.outputs[tensor.name] = ort.OrtValue.ortvalue_from_shape_and_type(tensor.shape, dtype, device, 0)
            self.binding.bind_ortvalue_output(tensor.name, self.outputs[tensor.name])


class Captured:
    """A bound session; the backend's call is its run alone, from what is on the device to what is on the device."""

    def __init__(self, bound: ByBatch[Bound], device: str, arithmetic: str):
        self._bound, self.arithmetic = bound, arithmetic
        self.executor = f"onnxruntime {ort.__version__} {PROVIDERS[device]}, bound"
        bound[1]

    def answer(self, frame: Frame) -> Answer:
        """The depth of a batch of frames."""
        bound = self._bound[len(frame)]
        bound.frame.update_inplace(np.ascontiguousarray(frame))
        start = time.perf_counter_ns()
        bound.session.run_with_iobinding(bound.binding)
        end = time.perf_counter_ns()
        depth_m, num_nonfinite = (bound.outputs[name].numpy() for name in ("depth_m", "num_nonfinite"))
        return Answer(depth_m.copy(), int(num_nonfinite.sum()), end - start)

    def answer_batch(self, frames: Frame) -> Depth:
        """As `answer`."""
        return self.answer(frames).depth_m

    def close(self) -> None:
        """onnxruntime frees with the last reference."""
        self._bound.opened.clear()
