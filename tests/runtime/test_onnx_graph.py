import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper
import onnx.parser
import pytest
from google.protobuf.message import DecodeError

from mde_runtime.onnx_graph import content
from mde_runtime.onnx_graph.content import encoded, facts_of, varint

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


def foreign(operator: str = "Gelu") -> onnx.NodeProto:
    return onnx.helper.make_node(operator, ["x"], ["y"], domain="com.microsoft")


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
    assert facts_of(PLACES[place]().SerializeToString()).external_tensor == "far"


@pytest.mark.parametrize("location", [None, onnx.TensorProto.DEFAULT])
def test_a_graph_that_holds_its_values_is_left_alone(location):
    inside = tensor(is_outside=False)
    if location is not None:
        inside.data_location = location
    whole = model(constant(value=inside, body=graph(initializer=[inside])), initializer=[inside])
    assert facts_of(whole.SerializeToString()).external_tensor is None


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
    assert facts_of(with_tensor(encoded((8, 2, b"far")) + mark)).external_tensor == "far"


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
        facts_of(damaged)


def test_a_graph_of_endless_fields_is_refused(monkeypatch):
    monkeypatch.setattr(content, "MAX_FIELDS", 1000)
    with pytest.raises(ValueError, match="more than 1000 fields"):
        facts_of(b"\x08\x01" * 1001)


def test_a_graph_nested_deeper_than_python_calls_is_no_crash():
    content = PLACES["an initializer"]().graph.SerializeToString()
    for _ in range(2000):
        content = encoded((1, 2, encoded((5, 2, encoded((6, 2, content))))))
    assert facts_of(encoded((7, 2, content))).external_tensor == "far"


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
                assert facts_of(bytes(damaged)).external_tensor is not None
            except ValueError:
                continue
    assert num_external > 100


FOREIGN = {
    "a node": lambda: model(foreign()),
    "a node of a graph in a node": lambda: model(constant(body=graph(constant(body=graph(foreign()))))),
    "a node of a function": lambda: of_function(domain="mine", node=[foreign()]),
    "what is for training": lambda: onnx.ModelProto(training_info=[onnx.TrainingInfoProto(algorithm=graph(foreign()))]),
}


@pytest.mark.parametrize("place", FOREIGN)
def test_an_operator_of_another_domain_is_named_wherever_it_is(place):
    assert facts_of(FOREIGN[place]().SerializeToString()).foreign_operator in ("com.microsoft.Gelu", "function f")


def test_a_domain_that_a_later_field_takes_back_still_counts():
    node = foreign().SerializeToString() + encoded((7, 2, b""))  # a reader that takes the last sees the standard one
    assert facts_of(encoded((7, 2, encoded((1, 2, node))))).foreign_operator == "com.microsoft.Gelu"


def test_a_function_that_the_graph_brings_along_counts_whatever_its_domain():
    assert facts_of(of_function(domain="").SerializeToString()).foreign_operator == "function f"


@pytest.mark.parametrize("domain", ["", "ai.onnx"])
def test_operators_of_the_standard_domain_are_left_alone_and_so_is_an_unused_import(domain):
    node = onnx.helper.make_node("Relu", ["x"], ["y"], domain=domain)
    imports = [onnx.helper.make_opsetid("", 20), onnx.helper.make_opsetid("com.microsoft", 1)]
    whole = onnx.helper.make_model(graph(node), opset_imports=imports)
    assert facts_of(whole.SerializeToString()).foreign_operator is None


half_weight = onnx.numpy_helper.from_array(np.float16([1, 2]), "w")
IN_HALF = {
    "a cast": "h = Cast <to = 10> (x)  y = Relu (h)",
    "a cast to bfloat16": "h = Cast <to = 16> (x)  y = Relu (h)",
    "a constant": "h = Constant <value = float16 {1}> ()  y = Add (h, h)",
    "an eye": "h = EyeLike <dtype = 10> (x)  y = Neg (h)",
}
NOT_IN_HALF = {
    "floats": "h = Cast <to = 1> (x)  y = Relu (h)",
    "a cast there and back": "h = Cast <to = 10> (x)  y = Cast <to = 1> (h)",
    "a left-out input": "h = Constant <value = float16 {1}> ()  y = Clip (x, , x)",
}


def text_graph(body: str, **parts: object) -> bytes:
    parsed = onnx.parser.parse_graph(f"g (float[2, 2] x) => (y) {{ {body} }}")
    for name, values in parts.items():
        getattr(parsed, name).extend(values)
    return onnx.helper.make_model(parsed).SerializeToString()


@pytest.mark.parametrize("body", IN_HALF)
def test_a_graph_computes_in_half_where_an_operator_takes_a_half_tensor(body):
    assert facts_of(text_graph(IN_HALF[body])).computes_in_half


def test_a_half_weight_counts_once_it_is_used():
    assert facts_of(text_graph("y = Add (x, w)", initializer=[half_weight])).computes_in_half
    assert not facts_of(text_graph("y = Neg (x)", initializer=[half_weight])).computes_in_half


@pytest.mark.parametrize("body", NOT_IN_HALF)
def test_a_graph_does_not_compute_in_half_where_none_does(body):
    assert not facts_of(text_graph(NOT_IN_HALF[body])).computes_in_half


def test_a_graph_quantizes_where_a_node_does():
    assert facts_of(text_graph("y = QuantizeLinear (x, x)")).quantizes
    assert not facts_of(text_graph("y = DequantizeLinear (x, x)")).quantizes  # of a weight that is only stored so
