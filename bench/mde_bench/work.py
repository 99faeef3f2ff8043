"""What one frame asks of the hardware: multiply-adds and weights, counted from a graph's shapes."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mde_runtime.errors import BadInputError

if TYPE_CHECKING:
    import onnx

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Work:
    """Of one frame."""

    num_macs: int  # multiply-adds of convolutions and matrix products, by their definition
    weight_bytes: int


def work_of(graph: bytes) -> Work | None:
    """Count a graph's work; None where onnx is not installed. Raises BadInputError for a graph that it refuses."""
    try:
        import onnx
    except ImportError:
        return None
    try:
        model = onnx.shape_inference.infer_shapes(onnx.load_model_from_string(graph), data_prop=True)
    except (onnx.shape_inference.InferenceError, ValueError) as error:
        raise BadInputError(f"the graph's shapes cannot be inferred: {error}") from error
    values = (*model.graph.input, *model.graph.value_info, *model.graph.output)
    shapes = {value.name: _shape(value) for value in values}
    shapes |= {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    weight_bytes = sum(len(tensor.raw_data) for tensor in model.graph.initializer)
    return Work(sum(_macs(node, shapes) for node in model.graph.node), weight_bytes)


def _macs(node: "onnx.NodeProto", shapes: Shapes) -> int:
    """Of one node; a shape that nobody knows counts as nothing, so the sum is a lower bound."""
    if node.op_type not in ("Conv", "ConvTranspose", "MatMul", "Gemm"):
        return 0
    first, second, result = (shapes.get(name, ()) for name in (node.input[0], node.input[1], node.output[0]))
    if node.op_type == "Conv":  # every output value sums over the weights of its channel
        return math.prod(result) * math.prod(second[1:])
    if node.op_type == "ConvTranspose":  # every input value is spread by the weights of its channel
        return math.prod(first) * math.prod(second[1:])
    return math.prod(result) * (first[-1] if first else 0)


def _shape(value: "onnx.ValueInfoProto") -> tuple[int, ...]:
    return tuple(axis.dim_value or 1 for axis in value.type.tensor_type.shape.dim)  # a free axis is the batch: 1
