"""FP16 as a GPU computes it, on a CPU: every half tensor is really rounded to half.

CPU runtimes run an FP16 graph in FP32 inside and so hide every overflow and part of the rounding. Here the graph
itself says when to round: FP32 operators, and a Cast to half and back on each tensor that is half in the FP16 graph.
What TensorRT's importer takes apart is rounded part by part (`operators`, `parts`). Sums of products are rounded once,
as Tensor Cores with FP32 accumulators do it, or block by block (`accumulation`).

Fused kernels and CPU runtimes round less often, which need not be closer: errors of the weights and of the values
between can cancel, above all in a graph that a search has chosen among many. `fused` is the other end, where the
weights alone are rounded.
"""

import numpy as np
import onnx_ir as ir

from mde_export.precision.accumulation import sum_in_half
from mde_export.precision.half import FLOAT, HALF
from mde_export.precision.operators import EXACT
from mde_export.precision.parts import take_apart
from mde_export.request.choices import Accumulation


def fused(half: ir.Model) -> ir.Model:
    """The FP32 graph with the weights of the FP16 graph `half`: between its casts, no value is rounded."""
    return _widened_graph(half.clone(), rounds=False)


def emulated(half: ir.Model, accumulation: Accumulation = "float") -> ir.Model:
    """The FP32 graph that rounds as the FP16 graph `half` does. A value past 65504 becomes Inf.

    accumulation: what sums of products are added up in. To be run with every optimisation off, or a runtime may remove
    the casts.
    """
    model = half.clone()
    take_apart(model)
    if accumulation == "half":
        sum_in_half(model)
    return _widened_graph(model, rounds=True)


def _widened_graph(model: ir.Model, *, rounds: bool) -> ir.Model:
    graph = model.graph
    for value in list(graph.initializers.values()):
        if value.dtype == HALF:
            assert value.const_value is not None
            value.const_value = ir.tensor(value.const_value.numpy().astype(np.float32), name=value.name)
            value.type = ir.TensorType(FLOAT)
    for node in list(graph):
        if node.op_type == "Cast" and node.inputs[0] is not None and node.inputs[0].dtype == node.outputs[0].dtype:
            node.op_type = "Identity"  # what was half is float now
            node.attributes.clear()
        if node.op_type == "ConstantOfShape" and "value" in node.attributes:
            node.attributes["value"] = ir.AttrTensor("value", _widened(node.attributes["value"].as_tensor()))
        for value in node.outputs:
            if value.dtype == HALF:
                _round(graph, node, value, rounds)
    return model


def _round(graph: ir.Graph, node: ir.Node, value: ir.Value, rounds: bool) -> None:
    """Give the readers of a half tensor its value as float32, rounded to half where the operator does not do it.

    rounds: whether any but a Cast is.
    """
    is_cast = node.op_type == "Cast" and node.attributes["to"].as_int() == int(HALF)
    if not is_cast:
        value.type = ir.TensorType(FLOAT)
        if node.op_type in EXACT or not rounds:
            return
    readers = list(value.uses())
    as_half, last = value, node
    if not is_cast:
        as_half, last = _cast(graph, last, value, HALF)
    as_float, _ = _cast(graph, last, as_half, FLOAT)
    for reader, index in readers:
        reader.replace_input_with(index, as_float)


def _cast(graph: ir.Graph, after: ir.Node, value: ir.Value, dtype: ir.DataType) -> tuple[ir.Value, ir.Node]:
    name = f"{value.name}/{'rounded' if dtype == HALF else 'widened'}"
    cast = ir.node("Cast", [value], {"to": int(dtype)}, name=name)
    graph.insert_after(after, cast)
    cast.outputs[0].name, cast.outputs[0].type, cast.outputs[0].shape = name, ir.TensorType(dtype), value.shape
    return cast.outputs[0], cast


def _widened(tensor: ir.TensorProtocol) -> ir.TensorProtocol:
    array = tensor.numpy()
    return ir.tensor(array.astype(np.float32) if array.dtype == np.float16 else array)
