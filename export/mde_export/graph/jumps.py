"""Jumps: operators that move their result by whole steps, however little their input changes.

Rounding before one of them moves depth by a step wherever two values are all but equal, in any precision.
"""

import onnx_ir as ir

from mde_export.graph.stages import is_stage

# Not Floor: in the sampling of a grid its step is made up for by the weights beside it.
JUMPS = frozenset({"ArgMax", "ArgMin", "Hardmax", "Round", "Sign"})


def first_jump(model: ir.Model) -> str:
    """The first of the network's nodes that jumps, as operator and name; empty where none does.

    model: with its stages, its types inferred, its constants folded, so that what is left depends on the frame.
    """
    nodes = (node for node in model.graph if not is_stage(node.name) and _jumps(node))
    return next((f"{node.op_type} {node.name}" for node in nodes), "")


def _jumps(node: ir.Node) -> bool:
    """Whether it is one of the table, or makes numbers of a comparison."""
    read = node.inputs[0] if node.inputs else None
    is_counted = node.op_type == "Cast" and read is not None and read.dtype == ir.DataType.BOOL
    return node.op_type in JUMPS or is_counted
