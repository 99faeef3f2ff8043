"""BatchNormalization in training mode of a constant -> that constant, normalised.

Weight standardisation is written so: F.batch_norm(weight, training=True), as in BiT and the hybrid DPTs. Nothing trains
there. One whose input depends on the image is left, and is refused later.
"""

import onnx_ir as ir

from mde_export.judge.execute import Executor


def fold_constant_norms(model: ir.Model) -> None:
    """Replace them in place."""
    for node in list(model.graph):
        if node.op_type == "BatchNormalization" and _trains(node) and not any(map(_is_used, node.outputs[1:])):
            _fold(model, node)


def _trains(node: ir.Node) -> bool:
    return "training_mode" in node.attributes and node.attributes["training_mode"].as_int() == 1


def _is_used(value: ir.Value) -> bool:
    return bool(value.uses()) or value.is_graph_output()


def _fold(model: ir.Model, node: ir.Node) -> None:
    normal = node.outputs[0]
    try:
        constant = ir.convenience.extract(model.graph, [], [normal])
    except ValueError:  # it reaches an input: it depends on the image
        return
    constant.outputs[0].type = constant.outputs[0].type or ir.TensorType(ir.DataType.FLOAT)
    proto = ir.serde.serialize_model(ir.Model(constant, ir_version=model.ir_version))
    (array,) = Executor(proto.SerializeToString(), literal=True, outputs=(str(normal.name),)).run({}).values()
    weight = ir.Value(name=f"{normal.name}_folded", const_value=ir.tensor(array))
    weight.type, weight.shape = ir.TensorType(ir.DataType.from_numpy(array.dtype)), ir.Shape(array.shape)
    model.graph.register_initializer(weight)
    ir.convenience.replace_all_uses_with(normal, weight)
    model.graph.remove(node, safe=True)
