"""Work of a node: its multiply-adds."""

import onnx_ir as ir

from mde_runtime.multiply_adds import multiply_adds


def multiply_adds_of(node: ir.Node) -> int:
    """The multiply-adds of a node for one frame; 0 for what is no sum of products."""
    if len(node.inputs) < 2:
        return 0
    is_first_transposed = "transA" in node.attributes and bool(node.attributes["transA"].as_int())
    shapes = [_shape(value) for value in (*node.inputs[:2], node.outputs[0])]
    return multiply_adds(node.op_type, *shapes, is_first_transposed=is_first_transposed)


def _shape(value: ir.Value | None) -> tuple[int, ...]:
    """An open batch counts as one frame; a shape that nobody knows is empty."""
    if value is None or value.shape is None:
        return ()
    return tuple(dim if isinstance(dim, int) else 1 for dim in value.shape.dims)
