"""The graphs inside a node: branches of If, bodies of Loop and Scan."""

from collections.abc import Iterator

import onnx_ir as ir


def bodies_of(node: ir.Node) -> Iterator[ir.Graph]:
    """The graphs that a node holds, in the order of its attributes."""
    for attribute in node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH:
            yield attribute.as_graph()
        elif attribute.type == ir.AttributeType.GRAPHS:
            yield from attribute.as_graphs()
