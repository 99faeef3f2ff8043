"""FP16 files widened to FP32, and quantised files refused: what an export starts from is an FP32 network.

A CPU runs a half graph in FP32 inside, so as a reference it would hide every overflow of the device.
"""

from collections.abc import Iterator

import numpy as np
import onnx
import onnx_ir as ir

from mde_export.graph.bodies import bodies_of
from mde_runtime.errors import BadInputError

FLOAT = ir.DataType.FLOAT
NARROW = (ir.DataType.FLOAT16, ir.DataType.BFLOAT16)
TYPE_ATTRIBUTES = ("to", "dtype", "output_dtype")  # of Cast, RandomNormal, EyeLike, DequantizeLinear
# Operators that compute on quantised activations, or quantise them. DequantizeLinear of a weight is only storage.
QUANTISED = ("DynamicQuantizeLinear", "ConvInteger", "MatMulInteger")
QUANTISED_PREFIX = "QLinear"


def float_network(proto: onnx.ModelProto, where: str) -> tuple[onnx.ModelProto, bool]:
    """The file in FP32 throughout, and whether it had to be widened; where it did not, it is the file itself.

    Raises BadInputError for a quantised file.
    """
    model = ir.serde.deserialize_model(proto)
    _refuse_quantised(model, where)
    if not _widen(model):
        return proto, False
    return ir.serde.serialize_model(model), True


def _refuse_quantised(model: ir.Model, where: str) -> None:
    for node in _nodes(model):
        quantises = node.op_type == "QuantizeLinear" and not _is_constant(node.inputs[0])
        if quantises or node.op_type in QUANTISED or node.op_type.startswith(QUANTISED_PREFIX):
            raise BadInputError(
                f"{where}: is quantised already ({node.op_type} {node.name or node.outputs[0].name}); export the "
                "FP32 network it was made from, with --int8 if wanted"
            )


def _widen(model: ir.Model) -> bool:
    """Make every half and bfloat16 tensor of the model float, in place. Whether there was any."""
    found = False
    for value in _values(model):
        if value.dtype in NARROW:
            value.type, found = ir.TensorType(FLOAT), True
        if value.const_value is not None and value.const_value.dtype in NARROW:
            value.const_value, found = _widened(value.const_value), True
    for node in _nodes(model):
        for name, attribute in list(node.attributes.items()):
            if attribute.is_ref():
                continue
            if attribute.type == ir.AttributeType.TENSOR and attribute.as_tensor().dtype in NARROW:
                node.attributes[name], found = ir.AttrTensor(name, _widened(attribute.as_tensor())), True
            elif name in TYPE_ATTRIBUTES and attribute.as_int() in NARROW:
                node.attributes[name], found = ir.AttrInt64(name, int(FLOAT)), True
    return found


def _widened(tensor: ir.TensorProtocol) -> ir.TensorProtocol:
    return ir.tensor(tensor.numpy().astype(np.float32), name=tensor.name)


def _nodes(model: ir.Model) -> Iterator[ir.Node]:
    yield from ir.traversal.RecursiveGraphIterator(model.graph)
    for function in model.functions.values():
        yield from ir.traversal.RecursiveGraphIterator(function)


def _values(model: ir.Model) -> Iterator[ir.Value]:
    """Every value once or more: inputs, weights and what nodes give, in all graphs and functions."""
    for function in model.functions.values():
        yield from function.inputs
    graphs = [model.graph, *(body for node in _nodes(model) for body in bodies_of(node))]
    for graph in graphs:
        yield from (*graph.inputs, *graph.initializers.values())
    for node in _nodes(model):
        yield from node.outputs


def _is_constant(value: ir.Value | None) -> bool:
    producer = value.producer() if value is not None else None
    return value is not None and (value.is_initializer() or (producer is not None and producer.op_type == "Constant"))
