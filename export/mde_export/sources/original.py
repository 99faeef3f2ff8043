"""The original of an ONNX export: the file as it was brought, run by ONNX Runtime between the contract's stages.

Nothing is converted, simplified or optimised here, so that no error of those can hide: it would be in both.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort

from mde_export.graph.canonical import to_bytes
from mde_export.graph.graft import stages_after, stages_before
from mde_export.graph.stages import DEPTH, FRAME, MAP, NUM_NONFINITE, PIXELS
from mde_export.judge.evidence import Depth, Frames
from mde_export.judge.execute import LITERALLY, Executor, depth_of_all
from mde_export.sources import DepthOf
from mde_runtime.contract import Contract
from mde_runtime.errors import BadInputError, reason_of

OLDEST_OPSET = 7  # of the kernels in ONNX Runtime; source: its documentation, "Compatibility"

Pixels = npt.NDArray[np.float32]  # (1, 3, h, w)
Map = npt.NDArray[np.float32]  # (1, 1, h, w) or (1, h, w)


class OnnxOriginal:
    """A checked ONNX file with one image in, and one of its outputs, run literally. One frame at a time."""

    def __init__(self, proto: onnx.ModelProto, output: str, where: str):
        """output: the name of the map. Raises BadInputError where the installed ONNX Runtime cannot run the file."""
        self.proto, self.output, self.where = proto, output, where
        weights = {tensor.name for tensor in proto.graph.initializer}
        (self._image,) = (value.name for value in proto.graph.input if value.name not in weights)
        self._executor = _opened(proto, output, where)
        self.in_words = LITERALLY

    def map_of(self, pixels: Pixels) -> Map:
        """The network's map of an image that is normalised already."""
        (answer,) = self._executor.run({self._image: pixels}).values()
        return answer

    def depth_by(self, contract: Contract) -> DepthOf:
        """The function from frames to metres: stages of the contract, the file, stages of the contract."""
        before = Executor(to_bytes(stages_before(contract)), literal=True)
        size = (contract.to_network.height_px, contract.to_network.width_px)
        map_shape = self.map_of(np.zeros((1, 3, *size), np.float32)).shape
        after = Executor(to_bytes(stages_after(contract, map_shape)), literal=True)

        def of_one(frame: Frames) -> tuple[Depth, int]:
            answer = after.run({MAP: self.map_of(before.run({FRAME: frame})[PIXELS])})
            return answer[DEPTH][0], int(answer[NUM_NONFINITE].sum())

        def depth(frames: Frames, moved_on: Callable[[], None]) -> tuple[Depth, int]:
            return depth_of_all(of_one, frames, moved_on)

        return depth


def _opened(proto: onnx.ModelProto, output: str, where: str) -> Executor:
    """The file in ONNX Runtime; with a lower IR version where that alone keeps it from running."""
    try:
        return Executor(proto.SerializeToString(), literal=True, outputs=(output,))
    except BadInputError as error:
        least = onnx.helper.find_min_ir_version_for(proto.opset_import, ignore_unknown=True)
        if "IR version" in str(error.__cause__) and least < proto.ir_version:
            lowered = onnx.ModelProto()
            lowered.CopyFrom(proto)
            lowered.ir_version = least
            return _opened(lowered, output, where)
        opset = next((entry.version for entry in proto.opset_import if not entry.domain), 1)
        raise BadInputError(
            f"{where}: opset {opset}; onnxruntime {ort.__version__} cannot run it as it is, so there is nothing to "
            f"judge the export by. It runs opsets {OLDEST_OPSET} to {_newest_opset()}; export the network with one of "
            f"them ({reason_of(error.__cause__ or error)})"
        ) from error


def _newest_opset() -> int:
    """The newest opset that the installed ONNX Runtime opens; it publishes no number."""
    for opset in range(onnx.defs.onnx_opset_version(), OLDEST_OPSET, -1):
        value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
        nothing = onnx.helper.make_node("Identity", ["x"], ["y"])
        other = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
        graph = onnx.helper.make_graph([nothing], "nothing", [value], [other])
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=8)
        try:
            Executor(model.SerializeToString(), literal=True)
        except BadInputError:
            continue
        return opset
    return OLDEST_OPSET
