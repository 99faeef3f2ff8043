"""The one way a graph becomes bytes: nothing of the machine in it, checked in full, equal bytes for equal graphs."""

import contextlib
from collections.abc import Iterator

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # it publishes none
from onnx_ir.passes import common

from mde_export.graph.load_onnx import external_tensors
from mde_runtime.errors import BadInputError, reason_of

OPSET, IR_VERSION = 18, 8  # read by TensorRT 10.3 (JetPack 6) and onnxruntime 1.22 on; 18 is PyTorch's own
WEIGHTS_ARE_NO_INPUTS = 4  # from this IR on; below it every weight has to be an input as well
PRODUCER = "mde-export"
# What onnx, onnx_ir and onnxscript raise on graphs that are damaged, found by altering bytes of good ones.
FROM_DAMAGED_GRAPHS = (
    *(DecodeError, onnx.checker.ValidationError),
    *(RuntimeError, ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError),
)
TRAINING_OPS = frozenset({"Dropout", "BatchNormalization"})


def to_bytes(model: ir.Model) -> bytes:
    """The graph as checked, deterministic ONNX bytes without metadata. Raises BadInputError for a graph that is wrong.

    PyTorch writes the source files' absolute paths into the metadata of every node: a leak, and another file from
    another folder.
    """
    proto = ir.serde.serialize_model(stripped(model))
    _check(proto)
    content: bytes = proto.SerializeToString(deterministic=True)
    return content


def stripped(model: ir.Model) -> ir.Model:
    """A copy without metadata, doc strings and what is unused: every node named, every type inferred."""
    model = model.clone()
    common.NameFixPass()(model)
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    common.RemoveUnusedNodesPass()(model)
    common.RemoveUnusedOpsetsPass()(model)
    common.ClearMetadataAndDocStringPass()(model)
    common.ShapeInferencePass(check_type=True, strict_mode=False, data_prop=True)(model)
    graph = model.graph
    values = [*graph.inputs, *graph.initializers.values(), *(value for node in graph for value in node.outputs)]
    for value in values:
        value.metadata_props.clear()
    model.metadata_props.clear()
    graph.name = "depth"
    model.ir_version = min(max(model.ir_version, WEIGHTS_ARE_NO_INPUTS), IR_VERSION)
    model.producer_name, model.producer_version = PRODUCER, None
    model.domain, model.model_version = None, None
    return model


def from_bytes(content: bytes) -> ir.Model:
    """A graph from ONNX bytes. Raises BadInputError for a weight that would be read from another file."""
    model = onnx.ModelProto.FromString(content)
    if reaching_out := next(external_tensors(model), None):
        raise BadInputError(
            f"the graph's weight {reaching_out.name} is stored in another file; do not trust this graph"
        )
    return ir.serde.deserialize_model(model)


@contextlib.contextmanager
def refusing_damage(where: str) -> Iterator[None]:
    """What a damaged graph raises in the block, whose parts may contradict each other, becomes a BadInputError."""
    try:
        yield
    except FROM_DAMAGED_GRAPHS as error:
        raise BadInputError(f"{where}: damaged or not valid ONNX ({reason_of(error)}); export it again") from error


def _check(proto: onnx.ModelProto) -> None:
    try:
        onnx.checker.check_model(proto, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise BadInputError(f"the graph is not valid ONNX: {reason_of(error)}; export it again") from error
    for node in proto.graph.node:
        if node.op_type in TRAINING_OPS and _is_training(node, proto.graph):
            raise BadInputError(
                f"the graph is in training mode: {node.op_type} {node.name} trains; export the network after .eval()"
            )


def _is_training(node: onnx.NodeProto, graph: onnx.GraphProto) -> bool:
    if node.op_type == "BatchNormalization":
        return any(attribute.name == "training_mode" and attribute.i for attribute in node.attribute)
    if len(node.input) < 3 or not node.input[2]:
        return False
    flags = [tensor for tensor in graph.initializer if tensor.name == node.input[2]]
    return not flags or bool(onnx.numpy_helper.to_array(flags[0]))
