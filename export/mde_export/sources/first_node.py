"""The first node whose values differ between an FP32 graph and the ONNX file that it came from, on one frame."""

from collections.abc import Sequence

import numpy as np
import onnx
import onnx_ir as ir

from mde_export.graph.canonical import to_bytes
from mde_export.graph.graft import stages_before
from mde_export.graph.stages import FRAME, PIXELS
from mde_export.judge.evidence import Frames
from mde_export.judge.execute import Executor
from mde_export.sources.opsets import NEWEST, OLDEST
from mde_export.sources.original import OnnxOriginal, Values, opened_up
from mde_export.sources.stage_names import PREFIX
from mde_runtime.contract import Contract
from mde_runtime.errors import BadInputError

TOLERANCE = 1e-3  # of a tensor's largest value: a hundred times what the order of additions does in FP32


def first_node(original: OnnxOriginal, network: ir.Model, contract: Contract, frame: Frames) -> str:
    """In words, with what to do, for a frame (1, H, W, 3).

    Tensors are paired by name, which conversion and optimisation mostly keep, and gone through in the graph's order.
    """
    pixels = Executor(to_bytes(stages_before(contract)), literal=True).run({FRAME: frame})[PIXELS]
    proto = onnx.ModelProto.FromString(to_bytes(network))
    try:
        values = original.opened_up()(pixels)
        exported = opened_up(proto).run({proto.graph.input[0].name: pixels})
    except BadInputError as error:  # as a file that names a tensor of no type
        return f"its tensors cannot be compared ({error}); {_remedy(original)}"
    if found := _first(proto.graph.node, values, exported):
        return f"its conversion differs from the file first at {found}; {_remedy(original)}"
    return f"every tensor that graph and file both name agrees on this frame; {_remedy(original)}"


def _remedy(original: OnnxOriginal) -> str:
    opset = next((entry.version for entry in original.proto.opset_import if not entry.domain), 1)
    if OLDEST <= opset <= NEWEST:
        return "export the network with that operator written in another way"
    return f"export the network with an opset from {OLDEST} to {NEWEST}, which is not converted (it has {opset})"


def _first(nodes: Sequence[onnx.NodeProto], right: Values, other: Values) -> str:
    """The first node whose output is another, in words; empty where none is."""
    for node in nodes:
        for name in node.output:
            expected, found = right.get(name.removeprefix(PREFIX)), other.get(name)
            if expected is None or found is None or not _are_comparable(expected, found):
                continue
            worst = float(np.abs(found - expected).max(initial=0))
            if not worst <= TOLERANCE * float(np.abs(expected).max(initial=0)):
                return f"node {node.name or '(unnamed)'} ({node.op_type}), {name}, by up to {worst:.3g}"
    return ""


def _are_comparable(expected: object, found: object) -> bool:
    """Whether both are tensors of floats of one shape: a sequence is none, and a name may have come to mean another."""
    if not isinstance(expected, np.ndarray) or not isinstance(found, np.ndarray):
        return False
    return bool(expected.shape == found.shape and expected.dtype.kind == found.dtype.kind == "f")
