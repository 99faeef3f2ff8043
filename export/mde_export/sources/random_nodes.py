"""Operators that draw random numbers: depth would differ at each run, so there is nothing to certify."""

import onnx_ir as ir

from mde_runtime.errors import BadInputError

DRAWS = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)


def refuse_random(model: ir.Model, where: str) -> None:
    """Raises BadInputError that names the first such node, in the graph, its branches and its functions.

    A seed changes nothing: it fixes the row of numbers, and each run takes the next ones of it.
    """
    graphs: list[ir.Graph | ir.Function] = [model.graph, *model.functions.values()]
    for graph in graphs:
        for node in ir.traversal.RecursiveGraphIterator(graph):
            if node.domain not in ("", "ai.onnx"):
                continue
            if node.op_type in DRAWS:
                raise BadInputError(
                    f"{where}: {node.op_type} {node.name or node.outputs[0].name} draws random numbers, so every run "
                    "gives different depth; export the network without it"
                )
            if node.op_type == "Dropout" and _drops(node):
                raise BadInputError(
                    f"{where}: Dropout {node.name or node.outputs[0].name} is in training mode; export the network "
                    "after .eval()"
                )


def _drops(node: ir.Node) -> bool:
    """Whether its flag is true, or known only when it runs. Before opset 12 there is none, and it drops nothing."""
    flag = node.inputs[2] if len(node.inputs) > 2 else None
    if flag is None:
        return False
    value = ir.convenience.get_const_tensor(flag)
    return value is None or bool(value.numpy().any())
