"""INT8 as explicit quantise/dequantise pairs: symmetric, zero points 0, weights per output channel and stored as int8.

One pair on every tensor that a quantised layer reads, none between a layer and its activation: builders fuse that. The
one form that TensorRT, TensorRT-RTX, onnxruntime and OpenVINO all read; what a CPU likes better it rewrites at load.
"""

from collections.abc import Collection, Mapping

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from mde_export.graph.canonical import from_bytes
from mde_export.graph.stages import is_stage
from mde_export.precision.islands import is_weighted
from mde_runtime.onnx_graph.unsigned import with_unsigned_activations

LARGEST_INT8 = 127  # -128 is left out: symmetric


def activations_of(model: ir.Model, kept: Collection[str]) -> list[str]:
    """The names of the tensors that the quantised layers read; empty: no layer is quantised."""
    names = {node.inputs[0].name: None for node in model.graph if _is_quantized(node, kept) and node.inputs[0]}
    return [name for name in names if name]


def quantized(model: ir.Model, largest: Mapping[str, float], kept: Collection[str]) -> ir.Model:
    """The graph with Q/DQ pairs around every layer with weights that is not in `kept`.

    largest: |x| of each tensor of `activations_of` that becomes 127. `model` has its types inferred.
    """
    model = model.clone()
    graph = model.graph
    quantised = set(activations_of(model, kept))
    for node in list(graph):
        for value in node.outputs:
            if value.name in quantised:
                _quantize_activation(graph, node, value, largest[str(value.name)], kept)
    for node in list(graph):
        if _is_quantized(node, kept):
            _quantize_weight(graph, node)
    return model


def signed_activations(graph: bytes) -> list[str]:
    """The activations of an INT8 graph that stay signed on CPUs, as operator and node, since they can be negative."""
    model = from_bytes(with_unsigned_activations(graph))
    return [
        " ".join(filter(None, (maker.op_type, maker.name)))
        for node in model.graph
        if node.op_type == "QuantizeLinear" and _is_int8(node.inputs[2])
        for maker in (node.inputs[0].producer() if node.inputs[0] is not None else None,)
        if maker is not None
    ]


def _is_int8(zero_point: ir.Value | None) -> bool:
    return zero_point is not None and zero_point.const_value is not None and zero_point.dtype == ir.DataType.INT8


def channel_axis(node: ir.Node) -> int:
    """The axis of a layer's weight that is the output channel."""
    if node.op_type == "Gemm":
        return 0 if "transB" in node.attributes and node.attributes["transB"].as_int() else 1
    return {"Conv": 0, "ConvTranspose": 1, "MatMul": 1}[node.op_type]


def _is_quantized(node: ir.Node, kept: Collection[str]) -> bool:
    return is_weighted(node) and node.name not in kept and not is_stage(node.name)


def _quantize_activation(
    graph: ir.Graph, maker: ir.Node, value: ir.Value, largest: float, kept: Collection[str]
) -> None:
    """Let all readers that are not kept read the value rounded to int8; so an addition beside a layer can fuse, too."""
    readers = [(node, index) for node, index in value.uses() if node.name not in kept and not is_stage(node.name)]
    scale = np.array((largest or 1.0) / LARGEST_INT8, np.float32)
    pair = [
        _constant(graph, f"{value.name}/scale", scale),
        _constant(graph, f"{value.name}/zero", np.array(0, np.int8)),
    ]
    quantize = ir.node("QuantizeLinear", [value, *pair], name=f"{value.name}/quantize")
    dequantize = ir.node("DequantizeLinear", [quantize.outputs[0], *pair], name=f"{value.name}/dequantize")
    quantize.outputs[0].name, dequantize.outputs[0].name = f"{value.name}/int8", f"{value.name}/dequantized"
    graph.insert_after(maker, [quantize, dequantize])
    for node, index in readers:
        node.replace_input_with(index, dequantize.outputs[0])


def _quantize_weight(graph: ir.Graph, node: ir.Node) -> None:
    weight, axis = node.inputs[1], channel_axis(node)
    assert weight is not None
    assert weight.const_value is not None
    array = weight.const_value.numpy()
    others = tuple(other for other in range(array.ndim) if other != axis)
    largest = np.abs(array).max(axis=others, keepdims=True)
    scale = np.where(largest > 0, largest, 1.0).astype(np.float32) / LARGEST_INT8
    as_int8 = np.clip(np.rint(array / scale), -LARGEST_INT8, LARGEST_INT8).astype(np.int8)
    name = f"{node.name}/{weight.name}"
    inputs = [
        _constant(graph, f"{name}/int8", as_int8),
        _constant(graph, f"{name}/scale", scale.reshape(-1).astype(np.float32)),
        _constant(graph, f"{name}/zero", np.zeros(array.shape[axis], np.int8)),
    ]
    dequantize = ir.node("DequantizeLinear", inputs, {"axis": axis}, name=f"{name}/dequantize")
    dequantize.outputs[0].name = f"{name}/dequantized"
    graph.insert_before(node, dequantize)
    node.replace_input_with(1, dequantize.outputs[0])


def _constant(graph: ir.Graph, name: str, array: npt.NDArray[np.generic]) -> ir.Value:
    value = ir.Value(name=name, const_value=ir.tensor(array, name=name))
    graph.register_initializer(value)
    return value
