"""The work of one frame: multiply-adds and bytes, counted from a graph's shapes."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mde_runtime.errors import BadInputError
from mde_runtime.multiply_adds import LAYERS, multiply_adds

if TYPE_CHECKING:
    import onnx

Shapes = dict[str, tuple[int, ...]]
ACTIVATIONS = ("Relu", "Clip")


@dataclass(frozen=True)
class Work:
    """Of one frame."""

    num_macs: int  # multiply-adds of convolutions and matrix products, by their definition
    weight_bytes: int
    moved_bytes: int  # what these layers read and write, weights too: all else is taken to be fused into them


@dataclass(frozen=True)
class Layer:
    """A convolution or matrix product, for one frame."""

    name: str  # of its node
    num_macs: int
    weight_bytes: int
    frame_bytes: int  # of what it reads and writes beside its weights


def work_of(graph: bytes) -> Work | None:
    """Count a graph's work; None where onnx is not installed. Raises BadInputError for a graph that it refuses."""
    try:
        import onnx  # noqa: F401  # only whether it is here
    except ImportError:
        return None
    layers = layers_of(graph)
    return Work(
        num_macs=sum(layer.num_macs for layer in layers),
        weight_bytes=sum(layer.weight_bytes for layer in layers),
        moved_bytes=sum(layer.weight_bytes + layer.frame_bytes for layer in layers),
    )


def layers_of(graph: bytes) -> tuple[Layer, ...]:
    """Every layer of a graph that multiplies. Needs onnx; raises BadInputError as `work_of`."""
    model = _inferred(graph)
    shapes, sizes = _shapes(model), _bytes(model)
    weights = {tensor.name for tensor in model.graph.initializer}
    in_memory = _in_memory(model)
    layers = []
    for node in model.graph.node:
        if node.op_type in LAYERS:
            tensors = [in_memory.get(name, name) for name in (*node.input, *node.output)]
            weight_bytes = sum(sizes.get(name, 0) for name in tensors if name in weights)
            frame_bytes = sum(sizes.get(name, 0) for name in tensors if name not in weights)
            layers.append(Layer(node.name, _macs(node, shapes), weight_bytes, frame_bytes))
    return tuple(layers)


def _inferred(graph: bytes) -> "onnx.ModelProto":
    import onnx

    try:
        return onnx.shape_inference.infer_shapes(onnx.load_model_from_string(graph), data_prop=True)
    except (onnx.shape_inference.InferenceError, ValueError) as error:
        raise BadInputError(f"the graph's shapes cannot be inferred: {error}") from error


def _shapes(model: "onnx.ModelProto") -> Shapes:
    values = (*model.graph.input, *model.graph.value_info, *model.graph.output)
    shapes = {value.name: _shape(value) for value in values}
    return shapes | {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}


def _bytes(model: "onnx.ModelProto") -> dict[str, int]:
    """What each tensor takes in memory."""
    import onnx

    types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    for value in (*model.graph.input, *model.graph.value_info, *model.graph.output):
        types[value.name] = value.type.tensor_type.elem_type
    shapes = _shapes(model)
    return {
        name: math.prod(shapes[name]) * onnx.helper.tensor_dtype_to_np_dtype(kind).itemsize
        for name, kind in types.items()
        if kind
    }


def _in_memory(model: "onnx.ModelProto") -> dict[str, str]:
    """The INT8 tensors that are moved in place of FP32 ones: what is dequantised for a layer, and made of its result.

    A layer between the two steps runs in INT8, and its activation is fused into it.
    """
    found = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "DequantizeLinear"}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    for node in model.graph.node:
        if node.op_type in LAYERS:
            last = node
            while len(after := readers.get(last.output[0], [])) == 1 and after[0].op_type in ACTIVATIONS:
                last = after[0]
            if after and all(each.op_type == "QuantizeLinear" for each in after):
                found[node.output[0]] = after[0].output[0]
    return found


def _macs(node: "onnx.NodeProto", shapes: Shapes) -> int:
    """Of one node; a shape that nobody knows counts as nothing, so the sum is a lower bound."""
    first, second, result = (shapes.get(name, ()) for name in (node.input[0], node.input[1], node.output[0]))
    return multiply_adds(node.op_type, first, second, result, is_first_transposed=_is_first_transposed(node))


def _is_first_transposed(node: "onnx.NodeProto") -> bool:
    """Whether a Gemm multiplies the transpose of its first matrix: it sums over that one's rows, not its columns."""
    return node.op_type == "Gemm" and any(each.name == "transA" and each.i for each in node.attribute)


def _shape(value: "onnx.ValueInfoProto") -> tuple[int, ...]:
    return tuple(axis.dim_value or 1 for axis in value.type.tensor_type.shape.dim)  # a free axis is the batch: 1
