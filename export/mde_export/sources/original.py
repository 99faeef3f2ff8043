"""The original of an ONNX export: the file as it was brought, run by ONNX Runtime between the contract's stages.

Nothing is converted, simplified or optimised here, so that no error of those can hide: it would be in both.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
import onnxruntime as ort

from mde_export.graph.canonical import to_bytes
from mde_export.graph.graft import stages_after, stages_before
from mde_export.graph.ops import Ops
from mde_export.graph.stages import DEPTH, FRAME, MAP, NUM_NONFINITE, PIXELS
from mde_export.judge.evidence import Depth, Frames, ManyFrames, ManyMaps
from mde_export.judge.execute import LITERALLY, Executor, depth_of_all
from mde_export.request.request import Size
from mde_export.sources import DepthOf
from mde_export.sources.image_input import ImageInput
from mde_export.sources.map_shape import checked_reading
from mde_runtime.contract import Contract
from mde_runtime.errors import BadInputError, reason_of

OLDEST_OPSET = 7  # of the kernels in ONNX Runtime; source: its documentation, "Compatibility"

Pixels = npt.NDArray[np.float32]  # (1, 3, h, w)
Values = dict[str, npt.NDArray[Any]]  # tensors by name
Map = npt.NDArray[np.float32]  # (1, 1, h, w) or (1, h, w)


class OnnxOriginal:
    """A checked ONNX file with one image in, and one of its outputs, run literally. One frame at a time."""

    def __init__(
        self,
        proto: onnx.ModelProto,
        image: ImageInput,
        output: str,
        channel: int | None,
        size: Size,
        is_batch_open: bool,
        where: str,
    ):
        """output: the name of the map. channel: which of it, or None. size: of the image, height and width.

        Raises BadInputError where the installed ONNX Runtime cannot run the file, or the output is no map.
        """
        self.image, self.output, self.where = image, output, where
        self.proto, self._executor = _opened(proto, output, where)
        self.in_words = LITERALLY
        if image.num_frames > 1:
            self.in_words += f", each frame {image.num_frames} times at once, as the file takes them"
        answer = self._answer(np.zeros((1, 3, *size), np.float32))
        self.reading = checked_reading(answer.shape, channel, is_batch_open, f"{where}: its output {output}")
        self.is_double = answer.dtype == np.float64

    def map_of(self, pixels: Pixels) -> Map:
        """The network's map of an image that is normalised already."""
        answer = self._answer(pixels).astype(np.float32, copy=False)
        if self.reading.channel is not None:
            return answer[:, [self.reading.channel]]
        answer = answer.squeeze(self.reading.drop)
        return answer if self.reading.has_batch else answer[None]

    def opened_up(self) -> Callable[[Pixels], Values]:
        """The function that gives every tensor that the file makes of an image, of the first frame of several."""
        executor = opened_up(self.proto)

        def values(pixels: Pixels) -> Values:
            found = executor.run(self.image.feed(pixels))
            arrays = {name: array for name, array in found.items() if isinstance(array, np.ndarray)}
            num_frames = self.image.num_frames
            return {name: array[:1] if array.shape[:1] == (num_frames,) else array for name, array in arrays.items()}

        return values

    def _answer(self, pixels: Pixels) -> npt.NDArray[Any]:
        """The output as it comes, of one frame. Raises BadInputError where it is no tensor of floats."""
        (answer,) = self._executor.run(self.image.feed(pixels)).values()
        if not isinstance(answer, np.ndarray) or answer.dtype not in (np.float32, np.float64):
            kind = answer.dtype if isinstance(answer, np.ndarray) else type(answer).__name__
            raise BadInputError(
                f"{self.where}: its output {self.output} is {kind}, not float32; export the FP32 network"
            )
        num_frames = self.image.num_frames
        if num_frames == 1:
            return answer
        if not answer.shape or answer.shape[0] != num_frames:
            raise BadInputError(
                f"{self.where}: takes {num_frames} frames at a time and gives {answer.shape}; export it for one frame, "
                "or with an open batch"
            )
        return answer[:1]

    def depth_by(self, contract: Contract) -> DepthOf:
        """The function from frames to metres: stages of the contract, the file, stages of the contract."""
        before = Executor(to_bytes(stages_before(contract)), literal=True)
        size = (contract.to_network.height_px, contract.to_network.width_px)
        map_shape = self.map_of(np.zeros((1, 3, *size), np.float32)).shape
        after = Executor(to_bytes(stages_after(contract, map_shape)), literal=True)

        def of_one(frame: Frames) -> tuple[Depth, int]:
            answer = after.run({MAP: self.map_of(before.run({FRAME: frame})[PIXELS])})
            return answer[DEPTH][0], int(answer[NUM_NONFINITE].sum())

        def depth(frames: ManyFrames, advance: Callable[[], None]) -> tuple[ManyMaps, int]:
            return depth_of_all(of_one, frames, advance)

        return depth


def plain_output(model: ir.Model, original: OnnxOriginal) -> None:
    """Make the model's output a float32 map, as `OnnxOriginal.map_of` reads the file's."""
    (output,) = model.graph.outputs
    ops, value, reading = Ops("map"), output, original.reading
    if original.is_double:
        value = ops("Cast", [value], "as_float", {"to": int(ir.DataType.FLOAT)})
    if reading.channel is not None:
        value = ops("Gather", [value, ops.int64s([reading.channel], "channel")], "one_channel", {"axis": 1})
    if reading.drop:
        value = ops("Squeeze", [value, ops.int64s(reading.drop, "axes_of_one")], "squeeze")
    if not reading.has_batch:
        value = ops("Unsqueeze", [value, ops.int64s([0], "axis_of_frames")], "unsqueeze")
    model.graph.extend(ops.nodes)
    ops.register_initializers(model.graph)
    model.graph.outputs[:] = [value]


def opened_up(proto: onnx.ModelProto) -> Executor:
    """A graph that gives every tensor of its nodes."""
    names = [name for node in proto.graph.node for name in node.output if name]
    cut = onnx.ModelProto()
    cut.CopyFrom(proto)
    del cut.graph.output[:]
    cut.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    return Executor(cut.SerializeToString(), literal=True, outputs=names)


def _opened(proto: onnx.ModelProto, output: str, where: str) -> tuple[onnx.ModelProto, Executor]:
    """The file in ONNX Runtime; with a lower IR version where that alone keeps it from running."""
    try:
        return proto, Executor(proto.SerializeToString(), literal=True, outputs=(output,))
    except BadInputError as error:
        least = onnx.helper.find_min_ir_version_for(proto.opset_import, ignore_unknown=True)
        if "IR version" in str(error.__cause__) and least < proto.ir_version:
            lowered = onnx.ModelProto()
            lowered.CopyFrom(proto)
            lowered.ir_version = least
            return _opened(lowered, output, where)
        opset = next((entry.version for entry in proto.opset_import if not entry.domain), 1)
        raise BadInputError(
            f"{where}: opset {opset}; onnxruntime {ort.__version__} cannot run it, so there is no reference to "
            f"certify against. It runs opsets {OLDEST_OPSET} to {_newest_opset()}; export the network with one of "
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
