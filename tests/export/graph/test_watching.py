"""Nodes that watch a network run as soon as they can, so that nothing stays in memory for them."""

import onnx_ir as ir
import pytest

from mde_export.graph.watching import insert_soonest


def chain(*names: str) -> ir.Graph:
    """A graph of one Relu behind the other."""
    value = entry = ir.val("x", ir.DataType.FLOAT, [1])
    nodes = []
    for name in names:
        nodes.append(ir.node("Relu", [value], name=name))
        value = nodes[-1].outputs[0]
    return ir.Graph([entry], [value], nodes=nodes, opset_imports={"": 18})


def order(graph: ir.Graph) -> list[str]:
    return [str(node.name) for node in graph]


def watcher(name: str, *values: ir.Value) -> ir.Node:
    return ir.node("Sum", list(values), name=name)


def test_a_watcher_runs_right_behind_the_last_that_it_reads():
    graph = chain("a", "b", "c")
    a, b, _ = (node.outputs[0] for node in graph)
    of_a, of_both = watcher("of a", a), watcher("of both", a, b)
    insert_soonest(graph, [of_both, of_a])
    assert order(graph) == ["a", "of a", "b", "of both", "c"]


def test_watchers_of_watchers_keep_their_order():
    graph = chain("a", "b")
    first = watcher("first", graph[0].outputs[0])
    second = watcher("second", first.outputs[0])
    insert_soonest(graph, [first, second])
    assert order(graph) == ["a", "first", "second", "b"]


def test_a_watcher_of_the_input_runs_before_the_network():
    graph = chain("a", "b")
    insert_soonest(graph, [watcher("of x", graph.inputs[0])])
    assert order(graph) == ["of x", "a", "b"]


@pytest.mark.parametrize("is_result", [False, True], ids=["read by a node", "given as it is"])
def test_a_body_that_reads_from_outside_waits_for_it(is_result):
    graph = chain("a", "b", "c")
    of_a, of_b = graph[0].outputs[0], graph[1].outputs[0]
    nodes = [] if is_result else [watcher("inside", of_b)]
    body = ir.Graph([], [of_b] if is_result else [nodes[0].outputs[0]], nodes=nodes, opset_imports={"": 18})
    branch = ir.node("If", [of_a], {"then_branch": body}, name="branch")
    insert_soonest(graph, [branch])
    assert order(graph) == ["a", "b", "branch", "c"]
