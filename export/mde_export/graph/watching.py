"""Nodes that watch a graph, each where it is run soonest: what it reads is then freed soonest.

Appended behind a network they would keep every tensor of it alive until its end: 10 GB for a ViT-S of 518×686.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import onnx_ir as ir

from mde_export.graph.bodies import bodies_of


def insert_soonest(graph: ir.Graph, nodes: Sequence[ir.Node]) -> None:
    """Add nodes, given in an order in which they could run, each behind the last node that it reads from."""
    place = {node: index for index, node in enumerate(graph)}
    behind: defaultdict[int, list[ir.Node]] = defaultdict(list)
    for node in nodes:
        makers = (value.producer() for value in _read_by(node))
        place[node] = max((place[maker] for maker in makers if maker in place), default=-1)
        behind[place[node]].append(node)
    first = next(iter(graph))
    for index, node in enumerate(list(graph)):
        graph.insert_after(node, behind[index])
    graph.insert_before(first, behind[-1])


def _read_by(node: ir.Node) -> Iterator[ir.Value]:
    """The inputs of a node and of everything in its bodies."""
    yield from (value for value in node.inputs if value is not None)
    for body in bodies_of(node):
        for inside in body:
            yield from _read_by(inside)
        yield from body.outputs
