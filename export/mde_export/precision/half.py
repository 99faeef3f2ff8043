"""FP16 as a strongly typed graph: most tensors half, named nodes FP32, a cast on every edge between the two.

The precision is in the graph, so no builder flag can lose it. What a node may have in half is read from ONNX's own
operator schemas. No range is looked at here: `mde_export.precision.islands` says what must stay FP32, and the
certificate judges.
"""

from collections.abc import Collection, Iterable, Iterator

import numpy as np
import onnx
import onnx_ir as ir

from mde_export.graph.bodies import bodies_of

FLOAT, HALF = ir.DataType.FLOAT, ir.DataType.FLOAT16
LARGEST_HALF = 65504.0
SMALLEST_NORMAL_HALF = 2.0**-14  # below it half loses bits, and below 2^-25 everything
# Sizes, not values: half has 11 bits, so a scale of 224/144 would give another size. TensorRT wants them FP32, too.
TYPE_ATTRIBUTES = ("dtype", "output_datatype", "output_dtype")
NEVER_HALF = {"Resize": frozenset({1, 2})}
# ONNX's own definition of it adds FP32 numbers to its input, so its checker and TensorRT-RTX refuse it in half.
FLOAT_INSIDE = ("MeanVarianceNormalization",)


def half_from_float(model: ir.Model, kept: Collection[str]) -> ir.Model:
    """The graph in half but for the nodes named in `kept`, which compute in FP32. Inputs and outputs keep their types.

    `model` has its types inferred (`canonical.stripped`). Weights are rounded to nearest, even; a Cast to float becomes
    a Cast to half where its node does.
    """
    model = model.clone()
    graph = model.graph
    captured = set(_captured(graph))
    casts: dict[tuple[ir.Value, ir.DataType], ir.Value] = {}
    outputs = set(graph.outputs)
    for node in list(graph):
        is_half = node.name not in kept and node not in captured
        for index, value in enumerate(node.inputs):
            if value is not None and value.dtype in (FLOAT, HALF):
                dtype = HALF if is_half and may_be_half(node, index) else FLOAT
                if value.dtype != dtype:
                    node.replace_input_with(index, _as_type(graph, node, value, dtype, casts))
        if is_half:
            for value in float_outputs_that_may_be_half(node):
                _make_half(node, value)
                if value in outputs:
                    _give_as_float(graph, value)
    return model


def may_be_half(node: ir.Node, index: int) -> bool:
    """Whether ONNX lets input `index` of the node be half, and it is a value, not a size."""
    schema = _schema(node)
    if schema is None or index in NEVER_HALF.get(node.op_type, ()):
        return False
    return _admits_half(schema, schema.inputs[min(index, len(schema.inputs) - 1)])


def float_outputs_that_may_be_half(node: ir.Node) -> Iterator[ir.Value]:
    """The node's float32 outputs that ONNX lets be half."""
    if (schema := _schema(node)) is None:
        return
    for index, value in enumerate(node.outputs):
        formal = schema.outputs[min(index, len(schema.outputs) - 1)]
        if value.dtype == FLOAT and _admits_half(schema, formal):
            yield value


def _captured(graph: ir.Graph) -> Iterator[ir.Node]:
    """The nodes whose outputs are read in the body of an If, Loop or Scan: bodies stay FP32, so these do too."""
    for node in graph:
        for body in bodies_of(node):
            for inner in ir.traversal.RecursiveGraphIterator(body):
                yield from _producers_in(graph, inner.inputs)
            yield from _producers_in(graph, body.outputs)


def _producers_in(graph: ir.Graph, values: Iterable[ir.Value | None]) -> Iterator[ir.Node]:
    for value in values:
        producer = value.producer() if value is not None else None
        if producer is not None and producer.graph is graph:
            yield producer


def _schema(node: ir.Node) -> onnx.defs.OpSchema | None:
    """The operator's definition; None where the node stays FP32: it has none, holds a graph or names FP32."""
    if next(bodies_of(node), None) is not None or node.op_type in FLOAT_INSIDE:
        return None
    assert node.graph is not None
    opset = node.version or node.graph.opset_imports.get(node.domain, 1)
    if not onnx.defs.has(node.op_type, node.domain):
        return None
    schema = onnx.defs.get_schema(node.op_type, opset, node.domain)
    return None if _names_float(node, schema) else schema


def _names_float(node: ir.Node, schema: onnx.defs.OpSchema) -> bool:
    """Whether an attribute, or its default, makes the output FP32 whatever the inputs are (RandomNormal, EyeLike)."""
    for name in TYPE_ATTRIBUTES:
        if name in node.attributes:
            return node.attributes[name].as_int() == FLOAT
        if name in schema.attributes:
            return bool(schema.attributes[name].default_value.i == FLOAT)
    return False


def _admits_half(schema: onnx.defs.OpSchema, formal: onnx.defs.OpSchema.FormalParameter) -> bool:
    allowed = {constraint.type_param_str: constraint.allowed_type_strs for constraint in schema.type_constraints}
    return "tensor(float16)" in allowed.get(formal.type_str, [formal.type_str])


def _as_type(
    graph: ir.Graph,
    node: ir.Node,
    value: ir.Value,
    dtype: ir.DataType,
    casts: dict[tuple[ir.Value, ir.DataType], ir.Value],
) -> ir.Value:
    """The value in another precision: a weight rounded now, a tensor through a Cast that all its readers share."""
    if (value, dtype) not in casts:
        name = f"{value.name}/{'half' if dtype == HALF else 'float'}"
        if value.is_initializer():
            assert value.const_value is not None
            with np.errstate(over="ignore"):  # beyond half is Inf, which the emulation finds
                rounded = value.const_value.numpy().astype(dtype.numpy())
            converted = ir.Value(name=name, const_value=ir.tensor(rounded, name=name))
            converted.type, converted.shape = ir.TensorType(dtype), value.shape
            graph.register_initializer(converted)
        else:
            cast = ir.node("Cast", [value], {"to": int(dtype)}, name=name)
            graph.insert_before(node, cast)
            converted = cast.outputs[0]
            converted.name, converted.type, converted.shape = name, ir.TensorType(dtype), value.shape
        casts[value, dtype] = converted
    return casts[value, dtype]


def _make_half(node: ir.Node, output: ir.Value) -> None:
    output.type = ir.TensorType(HALF)
    if node.op_type == "Cast":
        node.attributes["to"] = ir.AttrInt64("to", int(HALF))
    if node.op_type == "ConstantOfShape" and "value" in node.attributes:
        value = node.attributes["value"].as_tensor().numpy().astype(np.float16)
        node.attributes["value"] = ir.AttrTensor("value", ir.tensor(value))


def _give_as_float(graph: ir.Graph, value: ir.Value) -> None:
    """Let the graph give its output in float32 under its name, though a half node makes it."""
    name, value.name = value.name, f"{value.name}/half"
    cast = ir.node("Cast", [value], {"to": int(FLOAT)}, name=f"{name}/float")
    cast.outputs[0].name, cast.outputs[0].type, cast.outputs[0].shape = name, ir.TensorType(FLOAT), value.shape
    graph.append(cast)
    graph.outputs[:] = [cast.outputs[0] if output is value else output for output in graph.outputs]
