"""Sums of products in half: what a convolution or a product of matrices gives where its accumulator is half.

sum over k of a_k b_k  ->  for each block of k: total = half(total + sum over the block of a_k b_k)

Tensor Cores with FP32 accumulators, which TensorRT takes for half by default, round the total once. With half
accumulators they round it after every step of 16 products (mma.m16n8k16, PTX ISA). A step here holds 16 products, or
one channel where a kernel has more taps. Arm cores with FP16 arithmetic round after every product (FMLA), so they are
further off than this says: with the FP16 graph of samples/fast.mde ONNX Runtime 1.32 on an emulated Cortex-A76 was
2.8 cm off, steps of 16 say 0.4 cm.
"""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from mde_export.graph.ops import Ops
from mde_export.precision.half import FLOAT, HALF

PRODUCTS_PER_STEP = 16


def sum_in_half(model: ir.Model) -> None:
    """Let the half Conv, ConvTranspose and MatMul nodes add up block by block, in place. Shapes must be inferred.

    A node whose sides or weights are not known before it runs stays as it is.
    """
    for node in list(model.graph):
        if node.op_type in BLOCKS and node.outputs[0].dtype == HALF:
            ops = Ops(f"{node.name}/blocks")
            blocks = BLOCKS[node.op_type](ops, node)
            if blocks is not None:
                _replace(model.graph, node, ops, blocks)


def _replace(graph: ir.Graph, node: ir.Node, ops: Ops, blocks: Sequence[ir.Value]) -> None:
    whole = ops(node.op_type, node.inputs[:2], "whole", node.attributes)
    start = ops("ConstantOfShape", [ops("Shape", [whole], "shape")], "start")
    scan = {"body": _body(node), "num_scan_inputs": 2}
    total = ops("Scan", [start, *blocks], "total", scan)
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        sides = [1, -1, *[1] * (len(_sides(node.inputs[1]) or ()) - 2)]
        bias = ops("Reshape", [node.inputs[2], ops.int64s(sides, "bias_shape")], "bias")
        total = ops("Add", [total, bias], "shifted")
    ops.register_initializers(graph)
    for part in ops.nodes:
        part.outputs[0].type = ir.TensorType(ir.DataType.INT64 if part.op_type == "Shape" else HALF)
    total.shape = node.outputs[0].shape
    graph.insert_before(node, ops.nodes)
    ir.convenience.replace_all_uses_with(node.outputs[0], total)
    graph.remove(node, safe=True)


def _body(node: ir.Node) -> ir.Graph:
    """(total so far, block of the input, block of the weight) to half(total + their product), in float32."""
    inputs = [ir.Value(name=name, type=ir.TensorType(FLOAT)) for name in ("so_far", "values", "weights")]
    ops = Ops(f"{node.name}/step")
    product = ops(node.op_type, inputs[1:], "product", node.attributes)
    rounded = ops("Cast", [ops("Add", [inputs[0], product], "sum")], "rounded", {"to": int(HALF)})
    total = ops("Cast", [rounded], "total", {"to": int(FLOAT)})
    total.type = ir.TensorType(FLOAT)
    return ir.Graph(inputs, [total], nodes=ops.nodes, name="step")


def _of_convolution(ops: Ops, node: ir.Node) -> Sequence[ir.Value] | None:
    weight, sides = _array(node.inputs[1]), _sides(node.inputs[0])
    if weight is None or sides is None:
        return None
    outputs, channels, *kernel = weight.shape
    step = _step(channels, int(np.prod(kernel)))
    if step == channels:
        return None
    steps = channels // step
    in_steps = np.moveaxis(weight.reshape(outputs, steps, step, *kernel), 1, 0)
    return [_by_channels(ops, node, sides, steps), ops.constant(in_steps, "weights")]


def _of_transposed(ops: Ops, node: ir.Node) -> Sequence[ir.Value] | None:
    weight, sides = _array(node.inputs[1]), _sides(node.inputs[0])
    if weight is None or sides is None:
        return None
    groups = _groups(node)
    channels, outputs, *kernel = weight.shape
    strides = node.attributes["strides"].as_ints() if "strides" in node.attributes else [1] * len(kernel)
    taps = int(np.prod([-(-side // stride) for side, stride in zip(kernel, strides, strict=True)]))
    step = _step(channels // groups, taps)
    if step == channels // groups:
        return None
    steps = channels // groups // step
    by_group = weight.reshape(groups, steps, step, outputs, *kernel)
    in_steps = np.moveaxis(by_group, 1, 0).reshape(steps, groups * step, outputs, *kernel)
    return [_by_channels(ops, node, sides, steps), ops.constant(in_steps, "weights")]


def _of_matrices(ops: Ops, node: ir.Node) -> Sequence[ir.Value] | None:
    first, second = (_sides(value) for value in node.inputs)
    if first is None or second is None or min(len(first), len(second)) < 2 or first[-1] < 1:
        return None
    length = first[-1]
    step = _step(length, 1)
    if step == length:
        return None
    shapes = [*first[:-1], length // step, step], [*second[:-2], length // step, step, second[-1]]
    axes = len(first) - 1, len(second) - 2
    return [
        _moved_to_front(ops, value, shape, axis, name)
        for value, shape, axis, name in zip(node.inputs, shapes, axes, ("values", "weights"), strict=True)
    ]


BLOCKS = {"Conv": _of_convolution, "ConvTranspose": _of_transposed, "MatMul": _of_matrices}


def _step(length: int, taps: int) -> int:
    """How many of `length` channels, of so many products each, make a step: a divisor, 1 at least."""
    most = max(1, PRODUCTS_PER_STEP // taps)
    return max(step for step in range(1, most + 1) if length % step == 0)


def _by_channels(ops: Ops, node: ir.Node, sides: Sequence[int], steps: int) -> ir.Value:
    """(N, C, ...) to (steps, N, C / steps, ...), each step with its share of every group."""
    groups, (batch, channels, *rest) = _groups(node), sides
    split = [batch, groups, steps, channels // groups // steps, *rest]
    moved = _moved_to_front(ops, node.inputs[0], split, 2, "by_group")
    shape = ops.int64s([steps, batch, channels // steps, *rest], "values_shape")
    return ops("Reshape", [moved, shape], "values")


def _moved_to_front(ops: Ops, value: ir.Value | None, shape: Sequence[int], axis: int, name: str) -> ir.Value:
    split = ops("Reshape", [value, ops.int64s(shape, f"{name}_split_shape")], f"{name}_split")
    order = [axis, *(other for other in range(len(shape)) if other != axis)]
    return ops("Transpose", [split], name, {"perm": order})


def _groups(node: ir.Node) -> int:
    return node.attributes["group"].as_int() if "group" in node.attributes else 1


def _array(value: ir.Value | None) -> np.ndarray | None:
    return value.const_value.numpy() if value is not None and value.const_value is not None else None


def _sides(value: ir.Value | None) -> tuple[int, ...] | None:
    """The sides of a tensor, -1 for the one that is open; None where more are, or none is known."""
    if value is None or value.shape is None:
        return None
    sides = tuple(side if isinstance(side, int) else -1 for side in value.shape)
    return sides if sides.count(-1) <= 1 else None
