"""Operators taken apart as TensorRT's importer does it, so that every part's result can be rounded to half.

Source: `operators`. Where the importer makes one layer whose inside is not fixed, the parts are those of ONNX's own
definition.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir

from mde_export.graph.ops import Ops
from mde_export.precision.half import HALF

Parts = Callable[[Ops, ir.Node], ir.Value]


def take_apart(model: ir.Model) -> None:
    """Replace every half node that has parts by them, in place. The parts' results are half."""
    graph = model.graph
    for node in list(graph):
        first, *others = node.outputs
        if node.op_type in PARTS and first.dtype == HALF and not any(value.uses() for value in others):
            ops = Ops(f"{node.name}/parts")
            result = PARTS[node.op_type](ops, node)
            ops.register_initializers(graph)
            for part in ops.nodes:
                part.outputs[0].type = ir.TensorType(ir.DataType.BOOL if part.op_type == "Equal" else HALF)
            result.shape = first.shape
            graph.insert_before(node, ops.nodes)
            ir.convenience.replace_all_uses_with(first, result)
            graph.remove(node, safe=True)


def _number(ops: Ops, value: float, name: str) -> ir.Value:
    return ops.constant(np.array(value, np.float16), name)


def _float(node: ir.Node, name: str, default: float) -> float:
    return node.attributes[name].as_float() if name in node.attributes else default


def _int(node: ir.Node, name: str, default: int) -> int:
    return node.attributes[name].as_int() if name in node.attributes else default


def _along(ops: Ops, node: ir.Node, operator: str, value: ir.Value | None, name: str) -> ir.Value:
    """A reduction along the node's `axis`, which stays with length 1."""
    axis = _int(node, "axis", -1)
    assert node.graph is not None
    opset = node.version or node.graph.opset_imports.get("", 1)
    if operator == "ReduceMax" and opset < 18:  # it took its axes as an attribute then
        return ops(operator, [value], name, {"axes": [axis], "keepdims": 1})
    return ops(operator, [value, ops.int64s([axis], f"{name}_axis")], name, {"keepdims": 1})


def _hard_swish(ops: Ops, node: ir.Node) -> ir.Value:
    gate = ops("HardSigmoid", node.inputs, "gate", {"alpha": 1 / 6, "beta": 0.5})
    return ops("Mul", [node.inputs[0], gate], "product")


def _mish(ops: Ops, node: ir.Node) -> ir.Value:
    gate = ops("Tanh", [ops("Softplus", node.inputs, "softplus")], "gate")
    return ops("Mul", [node.inputs[0], gate], "product")


def _gelu(ops: Ops, node: ir.Node) -> ir.Value:
    x = node.inputs[0]
    if "approximate" in node.attributes and node.attributes["approximate"].as_string() == "tanh":
        cube = ops("Mul", [ops("Mul", [x, x], "square"), x], "cube")
        inner = ops("Add", [x, ops("Mul", [cube, _number(ops, 0.044715, "c")], "small")], "inner")
        curve = ops("Tanh", [ops("Mul", [inner, _number(ops, math.sqrt(2 / math.pi), "d")], "scaled")], "curve")
    else:
        curve = ops("Erf", [ops("Mul", [x, _number(ops, math.sqrt(0.5), "c")], "scaled")], "curve")
    share = ops("Add", [curve, _number(ops, 1.0, "one")], "share")
    return ops("Mul", [ops("Mul", [x, _number(ops, 0.5, "half")], "halved"), share], "product")


def _softmax(ops: Ops, node: ir.Node) -> ir.Value:
    x = node.inputs[0]
    centred = ops("Sub", [x, _along(ops, node, "ReduceMax", x, "largest")], "centred")
    power = ops("Exp", [centred], "power")
    return ops("Div", [power, _along(ops, node, "ReduceSum", power, "total")], "share")


def _log_softmax(ops: Ops, node: ir.Node) -> ir.Value:
    return ops("Log", [_softmax(ops, node)], "log")


def _gemm(ops: Ops, node: ir.Node) -> ir.Value:
    factors = []
    for value, flag in zip(node.inputs[:2], ("transA", "transB"), strict=True):
        factor = value
        if _int(node, flag, 0):
            factor = ops("Transpose", [value], flag, {"perm": [1, 0]})
            factor.shape = _transposed(value)
        factors.append(factor)
    product = ops("MatMul", factors, "product")
    product.shape = node.outputs[0].shape
    alpha, beta = _float(node, "alpha", 1.0), _float(node, "beta", 1.0)
    if alpha != 1:
        product = ops("Mul", [product, _number(ops, alpha, "alpha")], "scaled")
    if len(node.inputs) < 3 or node.inputs[2] is None:
        return product
    bias = node.inputs[2] if beta == 1 else ops("Mul", [node.inputs[2], _number(ops, beta, "beta")], "scaled_bias")
    return ops("Add", [product, bias], "sum")


def _transposed(value: ir.Value | None) -> ir.Shape | None:
    return ir.Shape(tuple(value.shape)[::-1]) if value is not None and value.shape is not None else None


def _sum(ops: Ops, node: ir.Node) -> ir.Value:
    total = ops("Identity", node.inputs[:1], "first")
    for index, value in enumerate(node.inputs[1:]):
        total = ops("Add", [total, value], f"sum_{index}")
    return total


def _mean(ops: Ops, node: ir.Node) -> ir.Value:
    return ops("Mul", [_sum(ops, node), _number(ops, 1 / len(node.inputs), "share")], "mean")


def _reduction(before: Sequence[str], after: str | None) -> Parts:
    """A sum of what `before` makes of the values, and `after` of it."""

    def parts(ops: Ops, node: ir.Node) -> ir.Value:
        value = node.inputs[0]
        for operator in before:
            value = ops(operator, [value, value] if operator == "Mul" else [value], operator.lower())
        axes = node.inputs[1:2]
        if "axes" in node.attributes:  # before opset 18
            axes = (ops.int64s(node.attributes["axes"].as_ints(), "axes"),)
        flags = {name: _int(node, name, default) for name, default in (("keepdims", 1), ("noop_with_empty_axes", 0))}
        total = ops("ReduceSum", [value, *axes], "total", flags)
        return total if after is None else ops(after, [total], after.lower())

    return parts


def _lp_normalization(ops: Ops, node: ir.Node) -> ir.Value:
    x = node.inputs[0]
    is_first = _int(node, "p", 2) == 1
    power = ops("Abs", [x], "magnitude") if is_first else ops("Mul", [x, x], "square")
    total = _along(ops, node, "ReduceSum", power, "total")
    norm = total if is_first else ops("Sqrt", [total], "norm")
    is_zero = ops("Equal", [norm, _number(ops, 0.0, "zero")], "is_zero")
    return ops("Div", [x, ops("Where", [is_zero, _number(ops, 1.0, "one"), norm], "divisor")], "share")


def _layer_normalization(ops: Ops, node: ir.Node) -> ir.Value:
    """The first stage, which ONNX lets compute in FP32 (stash_type), then scale and bias in half."""
    x, scale, *bias = node.inputs
    assert scale is not None
    one = _number(ops, 1.0, "one") if scale.shape is None else ops.constant(np.ones(_sides(scale), np.float16), "ones")
    attributes = {name: attribute.value for name, attribute in node.attributes.items()}
    scaled = ops("Mul", [ops("LayerNormalization", [x, one], "normalised", attributes), scale], "scaled")
    return ops("Add", [scaled, bias[0]], "shifted") if bias and bias[0] is not None else scaled


def _sides(value: ir.Value) -> tuple[int, ...]:
    assert value.shape is not None
    return tuple(side if isinstance(side, int) else 1 for side in value.shape)


PARTS: dict[str, Parts] = {
    "Gelu": _gelu,
    "Gemm": _gemm,
    "HardSwish": _hard_swish,
    "LayerNormalization": _layer_normalization,
    "LogSoftmax": _log_softmax,
    "LpNormalization": _lp_normalization,
    "Mean": _mean,
    "Mish": _mish,
    "ReduceL1": _reduction(["Abs"], None),
    "ReduceL2": _reduction(["Mul"], "Sqrt"),
    "ReduceLogSum": _reduction([], "Log"),
    "ReduceLogSumExp": _reduction(["Exp"], "Log"),
    "ReduceSumSquare": _reduction(["Mul"], None),
    "Softmax": _softmax,
    "Sum": _sum,
}
