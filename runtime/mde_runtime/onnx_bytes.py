"""An ONNX graph's own bytes: protobuf's fields, and whether the graph takes values from other files. Needs no onnx.

Field numbers: onnx.proto, which never changes them.
"""

from collections.abc import Iterator

Bytes = bytes | memoryview  # views, so that the weights, most of a graph, are never copied nor looked at
Field = tuple[int, int, Bytes]  # number, wire type, content

# Of each message the fields that lead to tensors, and what they hold.
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
TENSOR_NAME, TENSOR_EXTERNAL_DATA, TENSOR_DATA_LOCATION = 8, 13, 14
IN_THE_GRAPH = b"\0"  # the data location's default
MAX_FIELDS = 1 << 22  # of a graph: resnet34-skip's has 5 thousand, and 4 million are read in seconds
MAX_VARINT_BITS = 70  # ten bytes: what 64 bits take
MAX_TAG = (1 << 32) - 1


def external_tensor(graph: bytes) -> str | None:
    """The name of a tensor whose values are in a file beside the graph; None: the graph holds them all.

    Raises ValueError for what is no ONNX graph. Stricter than the runtimes' readers, which pass over groups and cut
    numbers off: what they would find in a graph must not be hidden from this one.
    """
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
                return text_of(message, TENSOR_NAME)
    return None


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
