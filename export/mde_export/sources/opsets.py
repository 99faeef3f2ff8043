"""An ONNX graph in an opset that devices read, meaning what it meant in its own."""

import logging

import numpy as np
import numpy.typing as npt
import onnx
import onnx.inliner
import onnx_ir as ir
import onnxscript.version_converter

from mde_export.graph.canonical import OPSET
from mde_runtime.errors import BadInputError

OLDEST, NEWEST = 17, 20  # opsets that are left as they are: 17 has LayerNormalization, 20 is TensorRT 10.3's last
FLATTENING_UNTIL = 12  # the last opset whose Hardmax takes all axes from one on as a single row
DEFAULT_AXES = (0, 2, 3)  # of MeanVarianceNormalization: for each channel, over frames and pixels
ASIDE = "mde_export.aside"
ASYMMETRIC_UNTIL = 10  # the last opset whose Upsample and Resize have no choice of grid


def to_readable_opset(model: ir.Model, where: str) -> ir.Model:
    """The model itself where its opset is readable, else a converted copy. Raises BadInputError where none can be."""
    opset = model.opset_imports.get("", 1)
    strange = sorted({node.domain for node in model.graph} - {""} - {key[0] for key in model.functions})
    if strange:
        raise BadInputError(f"{where}: operators of {', '.join(strange)} run in one runtime only; export without them")
    if OLDEST <= opset <= NEWEST:
        return model
    readable = OPSET if opset < OLDEST else NEWEST  # no further than it has to: fewer operators change on the way
    converted = _converted(model, readable)
    if converted is None and opset > NEWEST:
        expanded = _expanded(model)
        converted = _converted(expanded, readable) or _converted_around(expanded)
    if converted is None:
        newer = sorted({node.op_type for node in _nodes(model) if opset > NEWEST and not _is_as_before(node, opset)})
        named = f" ({', '.join(newer)})" if newer else ""
        raise BadInputError(
            f"{where}: opset {opset} does not convert to {readable}{named}; export it with opset {readable}"
        )
    model = converted
    if opset <= ASYMMETRIC_UNTIL:
        _say_old_grid(model)
    if opset <= FLATTENING_UNTIL:
        _say_old_rows(model)
    return model


def _converted(model: ir.Model, opset: int) -> ir.Model | None:
    """A copy of the model in another opset; None where an operator has no way there."""
    logger, model = logging.getLogger("onnxscript"), model.clone()
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # it prints the traceback of what we ask about
    try:
        onnxscript.version_converter.convert_version(model, opset, fallback=True)
    except (RuntimeError, ValueError):
        return None
    finally:
        logger.setLevel(level)
    return model if model.opset_imports.get("") == opset else None


def _converted_around(model: ir.Model) -> ir.Model | None:
    """The same in opset NEWEST, past operators that gained no more than types since, and have no converter.

    GlobalMaxPool 22 is one. They wait in a domain of their own, which the converter leaves alone.
    """
    model, opset = model.clone(), model.opset_imports[""]
    for node in _nodes(model):
        if node.domain == "" and _is_as_before(node, opset):
            node.domain = ASIDE
    model.opset_imports[ASIDE] = 1
    converted = _converted(model, NEWEST)
    if converted is not None:
        del converted.opset_imports[ASIDE]
        for node in _nodes(converted):
            node.domain = "" if node.domain == ASIDE else node.domain
    return converted


def _is_as_before(node: ir.Node, opset: int) -> bool:
    """Whether the operator has the same inputs, outputs and attributes in opset NEWEST."""
    try:
        now, before = (onnx.defs.get_schema(node.op_type, version) for version in (opset, NEWEST))
    except onnx.defs.SchemaError:
        return False
    forms = [
        (
            [value.name for value in (*schema.inputs, *schema.outputs)],
            {name: str(attribute.default_value) for name, attribute in schema.attributes.items()},
        )
        for schema in (now, before)
    ]
    return forms[0] == forms[1]


def write_default_axes(model: ir.Model) -> None:
    """MeanVarianceNormalization(x) -> MeanVarianceNormalization<axes = [0, 2, 3]>(x): its default, written out.

    onnx up to 1.23 infers no shapes through it without, from opset 13 on, and so calls a valid graph invalid.
    """
    for node in _nodes(model):
        if node.op_type == "MeanVarianceNormalization" and "axes" not in node.attributes:
            node.attributes["axes"] = ir.AttrInt64s("axes", DEFAULT_AXES)


def _nodes(model: ir.Model) -> list[ir.Node]:
    return list(ir.traversal.RecursiveGraphIterator(model.graph))


def _expanded(model: ir.Model) -> ir.Model:
    """Operators that are newer than NEWEST, or changed since, written out by ONNX's own definition of them.

    GroupNormalization 21 -> Reshape, ReduceMean, ...: there it scales channels, where 18 scaled groups.
    """
    proto = ir.serde.serialize_model(model)
    for tensor in proto.graph.initializer:  # the inliner knows no types but those that are written down
        proto.graph.value_info.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    proto = onnx.shape_inference.infer_shapes(proto)
    newer = {node.op_type for node in proto.graph.node if _is_newer_function(node.op_type, proto)}
    expanded = onnx.inliner.inline_selected_functions(
        proto, [("", name) for name in sorted(newer)], inline_schema_functions=True
    )
    return ir.serde.deserialize_model(expanded)


def _is_newer_function(operator: str, proto: onnx.ModelProto) -> bool:
    opset = next(entry.version for entry in proto.opset_import if not entry.domain)
    schema = onnx.defs.get_schema(operator, opset) if onnx.defs.has(operator) else None
    if schema is None or schema.since_version <= NEWEST:
        return False
    return bool(schema.has_function or schema.has_context_dependent_function)  # type: ignore[attr-defined]  # its stub lacks them


def _say_old_grid(model: ir.Model) -> None:
    """Resize(x, scales) -> Resize(x, scales, asymmetric, floor or ceil), for each that was Resize or Upsample before.

    Until opset 10 both lay pixel i at i / scale, and nearest rounds down where it enlarges and up where it shrinks; the
    converter leaves the newer defaults, half a pixel away. Source: ONNX Runtime, `upsample.cc`, of opset 10 and less.
    """
    for node in _nodes(model):
        if node.op_type != "Resize":
            continue
        _set(node, "coordinate_transformation_mode", "asymmetric")
        if "mode" not in node.attributes or node.attributes["mode"].as_string() == "nearest":
            _round_as_before(node)


def _say_old_rows(model: ir.Model) -> None:
    """Hardmax(x, axis) -> Reshape(Hardmax(Flatten(x, axis), 1), Shape(x)), for each that was there before.

    Until opset 12 it takes all axes from `axis` on (1 where none is named) as one row. The converter writes that out
    for Softmax and LogSoftmax, and gives Hardmax its newer meaning.
    """
    for node in _nodes(model):
        if node.op_type != "Hardmax":
            continue
        axis = node.attributes["axis"].as_int() if "axis" in node.attributes else 1
        tape = ir.tape.Tape()
        flat = tape.op("Hardmax", [tape.op("Flatten", [node.inputs[0]], {"axis": axis})], {"axis": 1})
        rows = tape.op("Reshape", [flat, tape.op("Shape", [node.inputs[0]])])
        assert node.graph is not None
        ir.convenience.replace_nodes_and_values(node.graph, node, [node], tape.nodes, node.outputs, [rows])


def _round_as_before(node: ir.Node) -> None:
    """Give a nearest Resize its rounding; one that enlarges one side and shrinks another becomes two."""
    assert node.inputs[2] is not None
    scales = ir.convenience.get_const_tensor(node.inputs[2])
    factors = np.ones(4, np.float32) if scales is None else scales.numpy()
    does_shrink, does_enlarge = (factors < 1).any(), (factors > 1).any()
    _set(node, "nearest_mode", "ceil" if does_shrink else "floor")
    if does_shrink and does_enlarge:
        tape = ir.tape.Tape()
        larger = tape.op("Resize", [node.inputs[0], None, _constant(tape, np.maximum(factors, 1))], node.attributes)
        _set(tape.nodes[-1], "nearest_mode", "floor")
        node.replace_input_with(0, larger)
        node.replace_input_with(2, _constant(tape, np.minimum(factors, 1)))
        assert node.graph is not None
        node.graph.insert_before(node, tape.nodes)


def _set(node: ir.Node, name: str, value: str) -> None:
    node.attributes[name] = ir.AttrString(name, value)


def _constant(tape: ir.tape.Tape, array: npt.NDArray[np.float32]) -> ir.Value:
    return tape.op("Constant", [], {"value": ir.AttrTensor("value", ir.tensor(array))})
