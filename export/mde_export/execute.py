"""Graphs on the CPU, to be judged: nothing optimised that could change what is judged."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy.typing as npt
import onnxruntime as ort

from mde_export.evidence import Depth, Frames
from mde_export.parallel import depth_of_all
from mde_export.stages import DEPTH, FRAME, NUM_NONFINITE
from mde_runtime.backends.onnxruntime import FAILURES
from mde_runtime.errors import BadInputError

REMEDY = "export the network with fixed sizes, in FP32, without what ONNX has no operator for"
LITERALLY = f"onnxruntime {ort.__version__} CPUExecutionProvider, no optimisation"


class Executor:
    """A graph in onnxruntime on the CPU.

    literal: every operator as it stands, so that casts and quantisation are really carried out.
    outputs: the only ones that are asked for; None: all.
    """

    def __init__(self, graph: bytes, *, literal: bool, outputs: Sequence[str] | None = None):
        options = ort.SessionOptions()
        options.log_severity_level = 3  # errors only
        options.inter_op_num_threads = options.intra_op_num_threads = 1  # frames run side by side instead
        if literal:
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            self._session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        except FAILURES as error:
            reason = " ".join(str(error).split())[:300]
            raise BadInputError(f"onnxruntime {ort.__version__} refuses the graph: {reason}; {REMEDY}") from error
        self._outputs = outputs or [output.name for output in self._session.get_outputs()]
        self.in_words = LITERALLY if literal else f"onnxruntime {ort.__version__} CPUExecutionProvider"

    def run(self, feeds: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """The outputs by name."""
        try:
            return dict(zip(self._outputs, self._session.run(self._outputs, feeds), strict=True))
        except FAILURES as error:
            reason = " ".join(str(error).split())[:300]
            raise BadInputError(f"onnxruntime {ort.__version__} cannot run the graph: {reason}; {REMEDY}") from error

    def depth(self, frames: Frames, moved_on: Callable[[], None] = lambda: None) -> tuple[Depth, int]:
        """Depth of the frames, and how many values were NaN or Inf. moved_on: called a frame."""

        def of_one(frame: Frames) -> tuple[Depth, int]:
            answer = self.run({FRAME: frame})
            return answer[DEPTH][0], int(answer[NUM_NONFINITE].sum())

        return depth_of_all(of_one, frames, moved_on)
