"""Targets of a graph: the newest opset that each reads, operators that it lacks, operators that must not be half."""

import importlib.util
from collections.abc import Callable, Iterator

import numpy as np
import onnx_ir as ir

from mde_export.graph.canonical import to_bytes
from mde_export.precision.target_table import TARGETS
from mde_runtime.certificate import Island
from mde_runtime.engines.build import REMEDY, BuildOptions, RefusedError, build_engine
from mde_runtime.engines.flavours import MODULES
from mde_runtime.errors import BadInputError

READ_COORDINATES = ("half_pixel", "pytorch_half_pixel", "tf_half_pixel_for_nn", "asymmetric", "align_corners")


def _attribute(node: ir.Node, name: str, default: object) -> object:
    return node.attributes[name].value if name in node.attributes else default


def _reduces(node: ir.Node) -> bool:
    return _attribute(node, "reduction", "none") != "none"


def _dilates(node: ir.Node) -> bool:
    return set(node.attributes["dilations"].as_ints()) - {1} != set() if "dilations" in node.attributes else False


def _gives_more_than_one(node: ir.Node) -> bool:
    return any(value.uses() or value.is_graph_output() for value in node.outputs[1:])


def _has_zero_point(node: ir.Node) -> bool:
    zero_point = node.inputs[2].const_value if len(node.inputs) > 2 and node.inputs[2] is not None else None
    return zero_point is not None and bool(np.any(zero_point.numpy()))


# Forms of operators that TensorRT does not read; the same lists, column "Restrictions". For ScatterElements the list
# says nothing of reductions, but the importer of 10.1 ignores them and the parser of TensorRT-RTX 1.7.1 refuses them.
UNREAD_FORMS: dict[str, tuple[tuple[str, Callable[[ir.Node], bool]], ...]] = {
    "Resize": (
        ("antialias", lambda node: _attribute(node, "antialias", 0) == 1),
        (
            "its coordinate_transformation_mode",
            lambda node: _attribute(node, "coordinate_transformation_mode", "half_pixel") not in READ_COORDINATES,
        ),
        (
            "its keep_aspect_ratio_policy",
            lambda node: _attribute(node, "keep_aspect_ratio_policy", "stretch") != "stretch",
        ),
    ),
    **dict.fromkeys(("ScatterND", "ScatterElements"), (("a reduction", _reduces),)),
    **dict.fromkeys(("AveragePool", "LpPool"), (("dilations", _dilates),)),
    "MaxPool": (("dilations", _dilates), ("its second output", _gives_more_than_one)),
    "LayerNormalization": (("a second output", _gives_more_than_one),),
    **dict.fromkeys(("QuantizeLinear", "DequantizeLinear"), (("a zero point that is not 0", _has_zero_point),)),
    "TopK": (("sorted = 0", lambda node: _attribute(node, "sorted", 1) == 0),),
    "LSTM": (
        ("input_forget", lambda node: _attribute(node, "input_forget", 0) == 1),
        ("layout = 1", lambda node: _attribute(node, "layout", 0) == 1),
    ),
    "GridSample": (
        (
            "an input of another rank than 4",
            lambda node: (
                node.inputs[0] is not None and node.inputs[0].shape is not None and len(node.inputs[0].shape) != 4
            ),
        ),
    ),
}


def check_target(model: ir.Model, name: str) -> None:
    """Raises BadInputError for an opset, an operator or a form of one that the target has not.

    For rtx the installed TensorRT-RTX is asked as well: it needs no GPU to build.
    """
    target = TARGETS[name]
    opset = model.opset_imports.get("", 1)
    if opset > target.newest_opset:
        raise BadInputError(
            f"opset {opset} is beyond {target.library}, which reads {target.newest_opset}; export with a lower opset"
        )
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        if node.op_type in target.missing:
            raise BadInputError(f"{node.op_type} {node.name} has no implementation in {target.library}; replace it")
        for form, is_in in UNREAD_FORMS.get(node.op_type, ()) if target.is_tensorrt else ():
            if is_in(node):
                raise BadInputError(
                    f"{node.op_type} {node.name} with {form} has no implementation in {target.library}; replace it"
                )
    if name == "rtx":
        _ask_rtx(model)


def _ask_rtx(model: ir.Model) -> None:
    if importlib.util.find_spec(MODULES["tensorrt-rtx"]) is None:
        return
    try:
        build_engine(to_bytes(model), "tensorrt-rtx", BuildOptions(optimization_level=0))
    except RefusedError as refused:
        cause = str(refused).removesuffix(f"; {REMEDY}")
        raise BadInputError(f"{cause}; replace the operator, or export without --target rtx") from refused


def kept_for(model: ir.Model, name: str | None) -> tuple[Island, ...]:
    """What stays FP32 in an FP16 graph because the target has no half kernel for it."""
    if name is None or TARGETS[name].grouped_half:
        return ()
    names = tuple(_grouped(model))
    reason = f"grouped convolution: {TARGETS[name].library} has no FP16 kernel on some GPUs"
    return (Island(names, reason, None),) if names else ()


def _grouped(model: ir.Model) -> Iterator[str]:
    for node in model.graph:
        is_convolution = node.op_type in ("Conv", "ConvTranspose")
        if is_convolution and "group" in node.attributes and node.attributes["group"].as_int() > 1 and node.name:
            yield node.name
