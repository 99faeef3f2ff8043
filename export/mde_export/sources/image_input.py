"""The image input of an ONNX file: its name, type, order of axes and number of frames, and how to feed it.

The exported graph takes float32 (N, 3, h, w); `plain_input` puts what lies between in front of the file's own input.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from mde_export.graph.ops import Ops
from mde_runtime.contract import ToNetwork
from mde_runtime.errors import BadInputError

TYPES = {ir.DataType.FLOAT: np.float32, ir.DataType.DOUBLE: np.float64}
AS_PLANES, AS_PIXELS = (0, 1, 2, 3), (0, 2, 3, 1)  # which axis of (N, 3, h, w) each of the file's is


@dataclass(frozen=True)
class ImageInput:
    """How a file takes its image."""

    name: str
    dtype: ir.DataType  # a key of TYPES
    axes: tuple[int, int, int, int]  # AS_PLANES or AS_PIXELS
    num_frames: int  # that it takes at once; 1 where it is open
    is_open: tuple[bool, bool]  # height and width

    def feed(self, pixels: npt.NDArray[np.float32]) -> Mapping[str, npt.NDArray[Any]]:
        """What the file is fed for an image (1, 3, h, w): repeated, where it takes several at once."""
        image = pixels.transpose(self.axes).astype(TYPES[self.dtype], copy=False)
        return {self.name: np.repeat(image, self.num_frames, axis=0)}


def image_input_of(model: ir.Model, to_network: ToNetwork, is_batch_open: bool, where: str) -> ImageInput:
    """The one input. Raises BadInputError where there are more, or it is no image of the contract's size."""
    image = _only_input(model, where)
    if image.dtype not in TYPES or image.shape is None or len(image.shape) != 4:
        inside = "; it contains its own preprocessing" if image.dtype == ir.DataType.UINT8 else ""
        raise BadInputError(
            f"{where}: its input {image.name} is {image.dtype} {image.shape}, not FLOAT (N, 3, h, w){inside}; "
            "export the FP32 network without preprocessing, which the contract describes"
        )
    shape = tuple(image.shape.dims)
    axes = AS_PIXELS if shape[3] == 3 and shape[1] != 3 else AS_PLANES
    batch, colours, height, width = (shape[axes.index(axis)] for axis in range(4))
    size = (to_network.height_px, to_network.width_px)
    if is_batch_open and isinstance(batch, int):
        raise BadInputError(f"{where}: takes {batch} frames at a time; export it with an open batch")
    if isinstance(colours, int) and colours != 3:
        raise BadInputError(f"{where}: its input {image.name} is {image.shape}; a depth network here takes 3 colours")
    for found, side in zip((height, width), size, strict=True):
        if isinstance(found, int) and found != side:
            raise BadInputError(
                f"{where}: its input is {height}x{width}, the contract says {size[0]}x{size[1]}; change the contract: "
                f"--network-size {height}x{width}"
            )
    num_frames = batch if isinstance(batch, int) and batch > 0 else 1
    is_open = (not isinstance(height, int), not isinstance(width, int))
    return ImageInput(str(image.name), image.dtype, axes, num_frames, is_open)


def plain_input(model: ir.Model, image: ImageInput, to_network: ToNetwork, is_batch_open: bool) -> None:
    """Make the model's input float32 (N, 3, h, w) of the contract's size, one frame at a time or any number."""
    (before,) = model.graph.inputs
    sides = ("N" if is_batch_open else 1, 3, to_network.height_px, to_network.width_px)
    ops = Ops("image")
    given = value = ir.val(f"{image.name}_planes", ir.DataType.FLOAT, sides)
    if image.axes != AS_PLANES:
        value = ops("Transpose", [value], "as_pixels", {"perm": image.axes})
    if image.dtype != ir.DataType.FLOAT:
        value = ops("Cast", [value], "as_double", {"to": int(image.dtype)})
    if value is given:
        before.shape = ir.Shape(sides)
    else:
        ir.convenience.replace_all_uses_with(before, value)
        model.graph.insert_before(model.graph[0], ops.nodes)
        model.graph.inputs[:] = [given]
    for node in model.graph:  # what was inferred for other sides is inferred anew
        for output in node.outputs:
            output.shape = None


def _only_input(model: ir.Model, where: str) -> ir.Value:
    inputs = list(model.graph.inputs)
    if len(inputs) != 1:
        image = next((value for value in inputs if value.shape is not None and len(value.shape) == 4), inputs[0])
        other = next(value for value in inputs if value is not image)
        dtype = np.dtype(other.dtype.numpy()).name if other.dtype is not None else "float32"
        raise BadInputError(
            f"{where}: has the inputs {', '.join(str(value.name) for value in inputs)}; a depth network here takes one "
            f"image. Bake {other.name} in, {other.dtype} {other.shape}: model = onnx.load({where!r}); "
            "model.graph.initializer.append(onnx.numpy_helper.from_array("
            f"np.array(VALUES, np.{dtype}), {str(other.name)!r})); onnx.save(model, 'baked.onnx')"
        )
    return inputs[0]
