"""An INT8 graph for CPUs: activations that are never negative become unsigned, at the same scale.

A bundle's INT8 graph is symmetric, as TensorRT wants it. CPU runtimes are made for unsigned activations: OpenVINO
2026.4 computes the signed form fast and wrongly (0.7 m off on `fast`, where this form and ONNX Runtime are 3 cm off),
ONNX Runtime rightly and slowly. Only the zero points' type changes, int8 0 to uint8 0, so the grid up to 127 is the
same; beyond it values are no longer clipped. Works on the protobuf's own bytes, since a robot has no onnx.

Field numbers: onnx.proto, which never changes them.
"""

from dataclasses import dataclass, replace

from mde_runtime.onnx_graph.content import (
    NODE_ATTRIBUTE,
    NODE_INPUT,
    NODE_OPERATOR,
    NODE_OUTPUT,
    TENSOR_NAME,
    TENSOR_TYPE,
    Bytes,
    encoded,
    fields_of,
    text_of,
    varint,
)

MODEL_GRAPH = 7
GRAPH_NODE, GRAPH_INITIALIZER, GRAPH_VALUE_INFO = 1, 5, 13
TENSOR_VALUES = (5, 9)  # int32_data, raw_data
MAX_ZERO_POINT_BYTES = 1 << 16  # a value for each of a layer's channels, at most: weights are larger
ATTRIBUTE_NAME, ATTRIBUTE_TEXT = 1, 4
INT8, UINT8 = 3, 2
QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"
NEVER_NEGATIVE = ("Relu", "Sigmoid", "Abs")
KEEPS_SIGN = ("Add", "Concat", "MaxPool", "Resize", "Slice", QUANTIZE, DEQUANTIZE)  # of all or its first input
OF_ALL_INPUTS = ("Add", "Concat")


@dataclass(frozen=True)
class Node:
    """What is needed of a NodeProto, and its bytes."""

    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    is_cubic: bool  # a resize that overshoots, also below 0
    content: Bytes


def with_unsigned_activations(graph: bytes) -> bytes:
    """The ONNX graph with unsigned zero points where an activation is never negative; other graphs as they are."""
    try:
        model = list(fields_of(memoryview(graph)))
        rewritten = {
            index: _rewritten(content) for index, (number, _, content) in enumerate(model) if number == MODEL_GRAPH
        }
    except (ValueError, IndexError, KeyError, RecursionError):  # no graph at all: the runtime says so better
        return graph
    if not any(rewritten.values()):
        return graph
    fields = ((number, wire, rewritten.get(index, content)) for index, (number, wire, content) in enumerate(model))
    return b"".join(map(encoded, fields))


def _rewritten(graph: Bytes) -> bytes:
    """The rewritten graph; empty where there is nothing to rewrite."""
    fields = list(fields_of(graph))
    nodes = [_node(content) for number, _, content in fields if number == GRAPH_NODE]
    tensors = [content for number, _, content in fields if number == GRAPH_INITIALIZER]
    int8_zeros = {text_of(tensor, TENSOR_NAME): tensor for tensor in tensors if _is_int8_zero(tensor)}
    by_output = {output: node for node in nodes for output in node.outputs}
    known: dict[str, bool] = {}
    unsigned = {
        node.outputs[0]
        for node in nodes
        if node.operator == QUANTIZE
        and len(node.inputs) == 3
        and node.inputs[2] in int8_zeros
        and _is_never_negative(node.inputs[0], by_output, known)
    }
    if not unsigned:
        return b""
    zero_points: dict[str, Bytes] = {}
    rewritten: list[Bytes] = []
    for node in nodes:
        concerned = node.outputs[:1] if node.operator == QUANTIZE else node.inputs[:1]
        if node.operator in (QUANTIZE, DEQUANTIZE) and unsigned.issuperset(concerned):
            zero_point = node.inputs[2]
            zero_points[zero_point] = int8_zeros[zero_point]
            node = replace(node, content=_with_zero_point(node, _unsigned_name(zero_point)))
        rewritten.append(node.content)
    added = [_unsigned(name, content) for name, content in zero_points.items()]
    others = [field for field in fields if field[0] not in (GRAPH_NODE, GRAPH_VALUE_INFO)]  # the types in it are old
    body = [*((GRAPH_NODE, 2, content) for content in rewritten), *others, *((GRAPH_INITIALIZER, 2, t) for t in added)]
    return b"".join(map(encoded, body))


def _is_never_negative(tensor: str, by_output: dict[str, Node], known: dict[str, bool]) -> bool:
    """Whether a tensor can have no negative value, going back through what keeps signs. `known` remembers answers."""
    node = by_output.get(tensor)
    if node is None or node.is_cubic:
        return False
    if node.operator in NEVER_NEGATIVE:
        return True
    if tensor not in known:
        known[tensor] = False  # the answer where a graph goes in a circle
        before = node.inputs if node.operator in OF_ALL_INPUTS else node.inputs[:1]
        known[tensor] = node.operator in KEEPS_SIGN and all(
            _is_never_negative(name, by_output, known) for name in before
        )
    return known[tensor]


def _is_int8_zero(tensor: Bytes) -> bool:
    """Whether a tensor is int8 and 0 everywhere. Its values stand in one of two fields, as the writer liked."""
    fields = list(fields_of(tensor)) if len(tensor) < MAX_ZERO_POINT_BYTES else []
    is_int8 = (TENSOR_TYPE, varint(INT8)) in ((number, bytes(content)) for number, _, content in fields)
    return is_int8 and not any(any(content) for number, _, content in fields if number in TENSOR_VALUES)


def _unsigned_name(name: str) -> str:
    return f"{name}/unsigned"


def _unsigned(name: str, tensor: Bytes) -> bytes:
    """A copy of an int8 zero point as uint8, under its new name. A 0 has the same bytes in both."""
    changed: dict[int, Bytes] = {TENSOR_TYPE: varint(UINT8), TENSOR_NAME: _unsigned_name(name).encode()}
    return b"".join(
        encoded((number, wire, changed.get(number, content))) for number, wire, content in fields_of(tensor)
    )


def _with_zero_point(node: Node, name: str) -> bytes:
    """The node's bytes with another third input."""
    position = 0
    parts = []
    for number, wire, content in fields_of(node.content):
        if number == NODE_INPUT:
            position += 1
            content = name.encode() if position == 3 else content
        parts.append(encoded((number, wire, content)))
    return b"".join(parts)


def _node(content: Bytes) -> Node:
    fields = list(fields_of(content))
    texts = {kind: tuple(str(c, "utf-8") for n, _, c in fields if n == kind) for kind in (NODE_INPUT, NODE_OUTPUT)}
    modes = [
        text_of(c, ATTRIBUTE_TEXT) for n, _, c in fields if n == NODE_ATTRIBUTE and text_of(c, ATTRIBUTE_NAME) == "mode"
    ]
    return Node(text_of(content, NODE_OPERATOR), texts[NODE_INPUT], texts[NODE_OUTPUT], "cubic" in modes, content)
