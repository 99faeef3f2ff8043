"""Names that a network shares with the stages: `to_network/x` -> `network/to_network/x`."""

import onnx_ir as ir

from mde_export.graph.stages import is_stage

PREFIX = "network/"  # what a name of the network gets where it could be taken for a stage's


def rename_like_stages(model: ir.Model) -> None:
    """Rename nodes and values, in place: stages are told from the network by their names."""
    values = {*model.graph.inputs, *model.graph.initializers.values()}
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        values.update(node.outputs)
        if is_stage(node.name):
            node.name = f"{PREFIX}{node.name}"
    found = sorted((value for value in values if is_stage(value.name)), key=lambda value: str(value.name))
    if found:
        ir.convenience.rename_values(found, [f"{PREFIX}{value.name}" for value in found])
