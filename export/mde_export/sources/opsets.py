"""Any opset to one that every runtime reads, with the meaning that the file had."""

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import onnxscript.version_converter

from mde_export.graph.canonical import OPSET
from mde_runtime.errors import BadInputError

OLDEST, NEWEST = 17, 20  # opsets that are left as they are: 17 has LayerNormalization, 20 is TensorRT 10.3's last
ASYMMETRIC_UNTIL = 10  # the last opset whose Upsample and Resize have no choice of grid


def to_readable_opset(model: ir.Model, where: str) -> None:
    """Convert in place where needed. Raises BadInputError for operators of one runtime, and where that fails."""
    opset = model.opset_imports.get("", 1)
    strange = sorted({node.domain for node in model.graph} - {""} - {key[0] for key in model.functions})
    if strange:
        raise BadInputError(f"{where}: operators of {', '.join(strange)} run in one runtime only; export without them")
    if OLDEST <= opset <= NEWEST:
        return
    try:
        onnxscript.version_converter.convert_version(model, OPSET, fallback=True)
    except (RuntimeError, ValueError) as error:
        raise BadInputError(f"{where}: opset {opset} does not convert to {OPSET} ({error}); export it anew") from error
    if model.opset_imports.get("") != OPSET:
        raise BadInputError(f"{where}: opset {opset} does not convert to {OPSET}; export it with opset {OPSET}")
    if opset <= ASYMMETRIC_UNTIL:
        _say_old_grid(model)


def _say_old_grid(model: ir.Model) -> None:
    """Resize(x, scales) -> Resize(x, scales, asymmetric, floor or ceil), for each that was Resize or Upsample before.

    Until opset 10 both lay pixel i at i / scale, and nearest rounds down where it enlarges and up where it shrinks; the
    converter leaves the newer defaults, half a pixel away. Source: ONNX Runtime, `upsample.cc`, of opset 10 and less.
    """
    for node in list(ir.traversal.RecursiveGraphIterator(model.graph)):
        if node.op_type != "Resize":
            continue
        _set(node, "coordinate_transformation_mode", "asymmetric")
        if "mode" not in node.attributes or node.attributes["mode"].as_string() == "nearest":
            _round_as_before(node)


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
