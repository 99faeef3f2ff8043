"""Graphs on the CPU, to be judged: nothing optimised that could change what is judged, one thread a frame."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from mde_export.graph.stages import DEPTH, FRAME, NUM_NONFINITE
from mde_export.judge.evidence import Depth, Frames, ManyFrames
from mde_export.judge.stored import Stored, stored
from mde_runtime.backends.onnxruntime import FAILURES
from mde_runtime.errors import BadInputError, reason_of
from mde_runtime.machine import this_machine

MAX_WORKERS = 8  # each holds a whole network's activations

Answer = TypeVar("Answer")
FrameDepth = Callable[[Frames], tuple[Depth, int]]  # (1, H, W, 3) to (H, W) metres, and how many were not finite


def depth_of_all(
    depth_of: FrameDepth, frames: ManyFrames, advance: Callable[[], None]
) -> tuple[Stored[np.float32], int]:
    """Depth of (N, H, W, 3) frames, (N, H, W), and how many values were NaN or Inf in all. advance: called a frame."""
    counts: list[int] = []

    def of_frame(index: int) -> tuple[Depth, int]:  # the frame is read when its turn comes
        return depth_of(frames[index : index + 1])

    def maps_m() -> Iterator[Depth]:
        for depth_m, num_nonfinite in side_by_side(of_frame, len(frames)):
            counts.append(num_nonfinite)
            advance()
            yield depth_m

    return stored(maps_m()), sum(counts)


def side_by_side(of_frame: Callable[[int], Answer], count: int) -> Iterator[Answer]:
    """The answers for frame 0 to the last, in order, a frame a thread. Few wait, since many would fill the memory."""
    num_workers = min(MAX_WORKERS, this_machine().num_cores)
    pool, running = ThreadPoolExecutor(num_workers), deque[Future[Answer]]()
    try:
        for index in range(count):
            running.append(pool.submit(of_frame, index))
            if len(running) > 2 * num_workers:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)  # Ctrl-C waits for the frames that are running, not for all of them


REMEDY = "export the network with fixed sizes, in FP32, with standard ONNX operators only"
LITERALLY = f"onnxruntime {ort.__version__} CPUExecutionProvider, no optimisation"


class Executor:
    """A graph in onnxruntime on the CPU.

    literal: every operator as it stands, so that casts and quantisation are really carried out.
    outputs: the only ones that are asked for; None: all.
    """

    def __init__(self, graph: bytes, *, literal: bool, outputs: Sequence[str] | None = None):
        options = ort.SessionOptions()
        options.log_severity_level = 4  # its errors are exceptions, and in our message
        options.execution_order = ort.ExecutionOrder.PRIORITY_BASED  # the graph's, so that a tensor is freed soonest
        options.inter_op_num_threads = options.intra_op_num_threads = 1  # frames run side by side instead
        if literal:
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            self._session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        except FAILURES as error:
            raise BadInputError(
                f"onnxruntime {ort.__version__} rejects the graph: {reason_of(error)}; {REMEDY}"
            ) from error
        self._outputs = outputs or [output.name for output in self._session.get_outputs()]
        self.in_words = LITERALLY if literal else f"onnxruntime {ort.__version__} CPUExecutionProvider"

    def run(self, feeds: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """The outputs by name."""
        try:
            return dict(zip(self._outputs, self._session.run(self._outputs, feeds), strict=True))
        except FAILURES as error:
            raise BadInputError(
                f"onnxruntime {ort.__version__} cannot run the graph: {reason_of(error)}; {REMEDY}"
            ) from error

    def depth(self, frames: ManyFrames, advance: Callable[[], None] = lambda: None) -> tuple[Stored[np.float32], int]:
        """Depth of the frames, and how many values were NaN or Inf. advance: called a frame."""

        def of_one(frame: Frames) -> tuple[Depth, int]:
            answer = self.run({FRAME: frame})
            return answer[DEPTH][0], int(answer[NUM_NONFINITE].sum())

        return depth_of_all(of_one, frames, advance)
