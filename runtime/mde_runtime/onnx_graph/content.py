"""An ONNX graph's own bytes: protobuf's fields, and what must be known of a graph before a runtime sees it.

Needs no onnx, which a robot has not. Field numbers: onnx.proto, which never changes them.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

Bytes = bytes | memoryview  # views, so that the weights, most of a graph, are never copied nor looked at
Field = tuple[int, int, Bytes]  # number, wire type, content

# Of each message the fields that lead to nodes and tensors, and what they hold.
HOLDS = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse tensor", 23: "sparse tensor"},
    "sparse tensor": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
NODE_INPUT, NODE_OUTPUT, NODE_OPERATOR, NODE_ATTRIBUTE, NODE_DOMAIN = 1, 2, 4, 5, 7
FUNCTION_NAME = 1
ATTRIBUTE_NAME, ATTRIBUTE_INT, ATTRIBUTE_TENSOR = 1, 3, 5
TENSOR_TYPE, TENSOR_NAME, TENSOR_EXTERNAL_DATA, TENSOR_DATA_LOCATION = 2, 8, 13, 14
IN_THE_GRAPH = b"\0"  # the data location's default
STANDARD_DOMAINS = (b"", b"ai.onnx")
HALF_TYPES = (10, 16)  # FLOAT16, BFLOAT16
TYPE_ATTRIBUTES = (b"to", b"dtype", b"output_dtype", b"output_datatype")
MAKES_CONSTANTS = (b"Constant", b"ConstantOfShape")
COMPUTES_NOTHING = (b"Cast", b"CastLike", b"Constant", b"Identity")
QUANTIZERS = (b"QuantizeLinear", b"DynamicQuantizeLinear")
MAX_FIELDS = 1 << 22  # of a graph: resnet34-skip's has 5 thousand, and 4 million are read in seconds
MAX_VARINT_BITS = 70  # ten bytes: what 64 bits take
MAX_TAG = (1 << 32) - 1


@dataclass
class Facts:
    """What was found in a graph, in its inner graphs and functions as well."""

    external_tensor: str | None = None  # the name of a tensor whose values are in a file beside the graph
    foreign_operator: str | None = None  # `domain.operator`, or a function that the graph brings along
    quantizes: bool = False
    half: set[bytes] = field(default_factory=set)  # names of the tensors that are made half or bfloat16
    computed_on: set[bytes] = field(default_factory=set)  # names of the tensors that an operator computes with

    @property
    def computes_in_half(self) -> bool:
        """Whether an operator takes a tensor that was made half."""
        return not (self.half - {b""}).isdisjoint(self.computed_on)  # an input that is left out has no name


def facts_of(graph: bytes) -> Facts:
    """What must be known of an ONNX graph before a runtime reads it. Ends at the first tensor of another file.

    Raises ValueError for what is no ONNX graph. Stricter than the runtimes' readers, which pass over groups and cut
    numbers off: what they would find in a graph must not be hidden from this one.
    """
    facts = Facts()
    num_fields = 0
    left: list[tuple[str, Bytes]] = [("model", memoryview(graph))]
    while left:
        kind, message = left.pop()
        for number, _, content in fields_of(message):
            num_fields += 1
            if num_fields > MAX_FIELDS:
                raise ValueError(f"it has more than {MAX_FIELDS} fields")
            if inner := HOLDS[kind].get(number):
                left.append((inner, content))
            elif kind == "tensor" and _is_elsewhere(number, content):
                facts.external_tensor = text_of(message, TENSOR_NAME)
                return facts
        if kind == "node":
            _note_node(message, facts)
        elif kind == "tensor" and _is_half_tensor(message):
            facts.half.add(bytes(_last(message, TENSOR_NAME)))
        elif kind == "function":
            facts.foreign_operator = f"function {text_of(message, FUNCTION_NAME)}"
    return facts


def _note_node(node: Bytes, facts: Facts) -> None:
    """Its domain, whether it quantises, and which tensors it makes half or computes with."""
    operator = bytes(_last(node, NODE_OPERATOR))
    inputs, outputs, makes_half = [], [], False
    for number, _, content in fields_of(node):
        if number == NODE_INPUT:
            inputs.append(bytes(content))
        elif number == NODE_OUTPUT:
            outputs.append(bytes(content))
        elif number == NODE_ATTRIBUTE:
            makes_half = makes_half or _is_half_attribute(content, operator)
        elif number == NODE_DOMAIN and content not in STANDARD_DOMAINS:
            facts.foreign_operator = f"{str(content, 'utf-8')}.{str(operator, 'utf-8')}"
    facts.quantizes = facts.quantizes or operator in QUANTIZERS
    if makes_half:
        facts.half.update(outputs)
    if operator not in COMPUTES_NOTHING:
        facts.computed_on.update(inputs)


def _is_half_attribute(attribute: Bytes, operator: bytes) -> bool:
    """Whether an attribute makes its node's output half: the type to cast to, or a constant's value."""
    if _last(attribute, ATTRIBUTE_NAME) in TYPE_ATTRIBUTES:
        return _is_half(_last(attribute, ATTRIBUTE_INT))
    return operator in MAKES_CONSTANTS and _is_half_tensor(_last(attribute, ATTRIBUTE_TENSOR))


def _is_half_tensor(tensor: Bytes) -> bool:
    return _is_half(_last(tensor, TENSOR_TYPE))


def _is_half(data_type: Bytes) -> bool:
    return bool(data_type) and _read_varint(data_type, 0)[0] in HALF_TYPES


def _last(message: Bytes, number: int) -> Bytes:
    """The last field of a number, which is the one that counts; empty where there is none."""
    last: Bytes = b""
    for found, _, content in fields_of(message):
        last = content if found == number else last
    return last


def _is_elsewhere(number: int, content: Bytes) -> bool:
    """Whether a field of a tensor says that its values are in another file: either of the two does."""
    return number == TENSOR_EXTERNAL_DATA or (number == TENSOR_DATA_LOCATION and content != IN_THE_GRAPH)


def text_of(message: Bytes, number: int) -> str:
    """The first field of a number as text; empty where there is none."""
    return next((str(content, "utf-8") for found, _, content in fields_of(message) if found == number), "")


def fields_of(message: Bytes) -> Iterator[Field]:
    """The fields of a protobuf message in order. Wire types: 0 varint, 1 eight bytes, 2 counted bytes, 5 four bytes.

    Raises ValueError for what is no message, or has one of the groups that ONNX never had.
    """
    at = 0
    while at < len(message):
        tag, at = _read_varint(message, at)
        start = at
        wire = tag & 7
        if not 8 <= tag <= MAX_TAG:
            raise ValueError(f"no field has the tag {tag}")
        if wire == 0:
            _, end = _read_varint(message, at)
        elif wire == 2:
            size, start = _read_varint(message, at)
            end = start + size
        elif wire in (1, 5):
            end = at + {1: 8, 5: 4}[wire]
        else:
            raise ValueError(f"no field of ONNX has the wire type {wire}")
        if end > len(message):
            raise ValueError("a message in it is cut short")
        yield tag >> 3, wire, message[start:end]
        at = end


def encoded(field: Field) -> bytes:
    """A field as it stands in a message."""
    number, wire, content = field
    count = varint(len(content)) if wire == 2 else b""
    return varint(number << 3 | wire) + count + content


def varint(value: int) -> bytes:
    """A number as protobuf writes it: seven bits a byte, the lowest first."""
    parts = bytearray()
    while value >= 0x80:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def _read_varint(message: Bytes, at: int) -> tuple[int, int]:
    """A number, and where what follows it begins."""
    value = shift = 0
    while at < len(message) and shift < MAX_VARINT_BITS:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
    raise ValueError("a number in it has no end")
