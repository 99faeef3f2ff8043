import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper
import pytest
from google.protobuf.message import DecodeError

from mde_runtime import onnx_bytes
from mde_runtime.onnx_bytes import encoded, external_tensor, varint

START_GROUP, END_GROUP = varint(99 << 3 | 3), varint(99 << 3 | 4)


def tensor(*, is_outside: bool = True) -> onnx.TensorProto:
    made = onnx.numpy_helper.from_array(np.float32([1, 2]), "far" if is_outside else "here")
    if is_outside:
        onnx.external_data_helper.set_external_data(made, "../secret.bin")
        made.ClearField("raw_data")
    return made


def constant(**value: object) -> onnx.NodeProto:
    return onnx.helper.make_node("Constant", [], ["y"], **value)


def graph(*nodes: onnx.NodeProto, **parts: object) -> onnx.GraphProto:
    return onnx.helper.make_graph(list(nodes), "g", [], [], **parts)


def model(*nodes: onnx.NodeProto, **parts: object) -> onnx.ModelProto:
    return onnx.helper.make_model(graph(*nodes, **parts))


def sparse() -> onnx.SparseTensorProto:
    indices = onnx.numpy_helper.from_array(np.int64([0, 1]), "indices")
    return onnx.SparseTensorProto(values=tensor(), indices=indices, dims=[4])


def of_function(**parts: object) -> onnx.ModelProto:
    return onnx.ModelProto(functions=[onnx.FunctionProto(name="f", **parts)])


PLACES = {
    "an initializer": lambda: model(initializer=[tensor(is_outside=False), tensor()]),
    "a sparse initializer": lambda: model(sparse_initializer=[sparse()]),
    "a constant": lambda: model(constant(value=tensor())),
    "a list of tensors": lambda: model(constant(values=[tensor(is_outside=False), tensor()])),
    "a sparse constant": lambda: model(constant(sparse_value=sparse())),
    "a graph in a node": lambda: model(constant(body=graph(initializer=[tensor()]))),
    "a graph in a list in a node": lambda: model(constant(bodies=[graph(constant(value=tensor()))])),
    "a node of a function": lambda: of_function(node=[constant(value=tensor())]),
    "a default of a function": lambda: of_function(attribute_proto=[onnx.helper.make_attribute("a", tensor())]),
    "what is for training": lambda: onnx.ModelProto(
        training_info=[onnx.TrainingInfoProto(algorithm=graph(initializer=[tensor()]))]
    ),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_tensor_in_another_file_is_named_wherever_it_is(place):
    assert external_tensor(PLACES[place]().SerializeToString()) == "far"


@pytest.mark.parametrize("location", [None, onnx.TensorProto.DEFAULT])
def test_a_graph_that_holds_its_values_is_left_alone(location):
    inside = tensor(is_outside=False)
    if location is not None:
        inside.data_location = location
    whole = model(constant(value=inside, body=graph(initializer=[inside])), initializer=[inside])
    assert external_tensor(whole.SerializeToString()) is None


def with_tensor(content: bytes) -> bytes:
    """A model of one initializer that holds just these bytes."""
    return encoded((7, 2, encoded((5, 2, content))))


@pytest.mark.parametrize(
    "mark",
    [
        encoded((14, 0, b"\1")),
        encoded((14, 0, varint(1 << 32 | 1))),  # cut to 32 bits it is 1
        encoded((13, 2, b"")),
        b"\xf0\x80\0\1",  # the tag in more bytes than it needs
    ],
)
def test_any_mark_of_another_file_counts_however_it_is_written(mark):
    assert external_tensor(with_tensor(encoded((8, 2, b"far")) + mark)) == "far"


@pytest.mark.parametrize(
    "damaged",
    [
        b"no graph",
        b"\0" * 1000,
        b"\xff" * 100_000,
        b"\x3a\xff\xff",
        with_tensor(b"\x70"),
        with_tensor(encoded((8, 2, b"\xff")) + encoded((14, 0, b"\1"))),
        START_GROUP + END_GROUP,  # other readers pass over it and over what is in it
        varint(1 << 32 | 7 << 3 | 2) + b"\0",  # cut to 32 bits it is a graph
    ],
)
def test_what_is_no_graph_is_refused(damaged):
    with pytest.raises(ValueError, match=r"\w"):
        external_tensor(damaged)


def test_a_graph_of_endless_fields_is_refused(monkeypatch):
    monkeypatch.setattr(onnx_bytes, "MAX_FIELDS", 1000)
    with pytest.raises(ValueError, match="more than 1000 fields"):
        external_tensor(b"\x08\x01" * 1001)


def test_a_graph_nested_deeper_than_python_calls_is_no_crash():
    content = PLACES["an initializer"]().graph.SerializeToString()
    for _ in range(2000):
        content = encoded((1, 2, encoded((5, 2, encoded((6, 2, content))))))
    assert external_tensor(encoded((7, 2, content))) == "far"


def is_external(content: bytes) -> bool:
    """Whether onnx finds the tensor of a graph in a node in another file."""
    try:
        read = onnx.ModelProto.FromString(content)
    except DecodeError:
        return False
    attributes = [attribute for node in read.graph.node for attribute in node.attribute]
    tensors = [tensor for attribute in attributes for tensor in attribute.g.initializer]
    return any(map(onnx.external_data_helper.uses_external_data, tensors))


def test_what_onnx_finds_in_damaged_bytes_is_found_or_refused():
    chance, content = np.random.default_rng(5), PLACES["a graph in a node"]().SerializeToString()
    num_external = 0
    for _ in range(2000):
        damaged = bytearray(content)
        for at in chance.integers(0, len(content), chance.integers(1, 4)):
            damaged[at] = chance.integers(0, 256)
        if is_external(bytes(damaged)):
            num_external += 1
            try:
                assert external_tensor(bytes(damaged)) is not None
            except ValueError:
                continue
    assert num_external > 100
