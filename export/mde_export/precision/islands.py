"""FP32 islands that are known before anything is measured, each with its reason."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from mde_export.graph.stages import FROM_NETWORK, is_stage
from mde_export.precision.half import (
    FLOAT,
    LARGEST_HALF,
    SMALLEST_NORMAL_HALF,
    float_outputs_that_may_be_half,
    may_be_half,
)
from mde_export.precision.operators import is_emulated
from mde_runtime.certificate import Island

WEIGHTED_OPS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
ACTIVATIONS = frozenset(
    {"Relu", "LeakyRelu", "PRelu", "Elu", "Clip", "Sigmoid", "Tanh", "HardSwish", "HardSigmoid", "Gelu"}
)

# Their result is about as small as what they read, so what half loses before them is lost after them.
PASSES_SMALLNESS_ON = frozenset(
    {"Sqrt", "Max", "Clip", "Abs", "Expand", "Reshape", "Unsqueeze", "Squeeze", "Transpose"}
)

MEASURED = "measured: a limit is missed otherwise"
CURED = "measured: the engine of {} gives wrong depth otherwise"
REFUSED = "refused: {} has no implementation of it in this precision"


def kept_by_rule(model: ir.Model) -> tuple[Island, ...]:
    """The islands of an FP16 graph that need no measurement: stages, first convolution, head, what half cannot hold.

    `model` has its stages, and its types and shapes inferred.
    """
    found = (
        ("pre- and postprocessing: the step of FP16 is 1.6 cm at 16 m", _stages(model.graph)),
        ("first convolution: the most sensitive to rounding, and cheap", _first_convolution(model.graph)),
        ("head: everything from the layer that makes the one-channel map", _head(model.graph)),
        ("a constant is above FP16's largest number", _with_constants(model.graph, _is_too_large)),
        ("a constant is below FP16's smallest normal number", _around_guards(model.graph)),
        ("ONNX defines the operator for float only", _without_half(model.graph)),
        ("GPUs compute the operator in ways that the emulation does not model", _not_emulated(model.graph)),
    )
    taken: set[ir.Node] = set()
    islands = []
    for reason, nodes in found:
        members = set(nodes) - taken
        names = tuple(node.name for node in model.graph if node in members and node.name)
        taken |= members
        if names:
            islands.append(Island(names, reason, None))
    return tuple(islands)


def unquantizable(model: ir.Model) -> tuple[Island, ...]:
    """What INT8 leaves alone beside the rules: grouped layers, and those that multiply a constant."""
    nodes = [node for node in model.graph if is_weighted(node) and not is_stage(node.name) and not _is_plain(node)]
    names = tuple(node.name for node in nodes if node.name)
    return (Island(names, "a grouped layer, or one that multiplies a constant", None),) if names else ()


def was_repaired(island: Island) -> bool:
    """Whether an island is there because a graph failed without it, and not by a rule."""
    return island.reason.startswith((MEASURED.partition(":")[0], REFUSED.partition(":")[0]))


def names_in(islands: Iterable[Island]) -> frozenset[str]:
    """The names of all nodes of the islands."""
    return frozenset(name for island in islands for name in island.nodes)


def is_weighted(node: ir.Node) -> bool:
    """Whether the node multiplies by weights of the network."""
    return node.op_type in WEIGHTED_OPS and any(value is not None and value.is_initializer() for value in node.inputs)


def _is_plain(node: ir.Node) -> bool:
    groups = node.attributes["group"].as_int() if "group" in node.attributes else 1
    read, weight = node.inputs[:2]
    assert read is not None
    assert weight is not None
    is_matrix = node.op_type != "MatMul" or (weight.shape is not None and len(weight.shape) == 2)
    return groups == 1 and weight.is_initializer() and not read.is_initializer() and is_matrix


def _stages(graph: ir.Graph) -> list[ir.Node]:
    return [node for node in graph if is_stage(node.name)]


def _first_convolution(graph: ir.Graph) -> list[ir.Node]:
    """The first layer with weights, and the activation that a builder fuses with it."""
    first = next((node for node in graph if is_weighted(node) and not is_stage(node.name)), None)
    if first is None:
        return []
    readers = first.outputs[0].consumers()
    fused = readers if len(readers) == 1 and readers[0].op_type in ACTIVATIONS else ()
    return [first, *fused]


def _head(graph: ir.Graph) -> list[ir.Node]:
    """The nodes through which the map comes to the stages, back to the layer that makes one channel of many."""
    found: dict[ir.Node, None] = {}
    border = [node for node in graph if node.name and node.name.startswith(f"{FROM_NETWORK}/")]
    while border:
        node = border.pop()
        for value in node.inputs:
            producer = value.producer() if value is not None else None
            if producer is not None and producer not in found and not is_stage(producer.name) and _is_one_map(value):
                found[producer] = None
                border.append(producer)
    return list(found)


def _is_one_map(value: ir.Value | None) -> bool:
    """Whether a tensor is one map a frame: (N, 1, h, w), or (N, h, w) before the channel axis is put in."""
    if value is None or value.shape is None:
        return False
    becomes_map = any(node.op_type == "Unsqueeze" and is_stage(node.name) for node in value.consumers())
    return (len(value.shape) == 4 and value.shape[1] == 1) or (len(value.shape) == 3 and becomes_map)


def _with_constants(graph: ir.Graph, is_lost: Callable[[ir.Node, npt.NDArray[np.floating]], bool]) -> Iterator[ir.Node]:
    """The nodes that read a float constant, a weight or a guard, of which half loses what counts."""
    for node in graph:
        for index, value in enumerate(node.inputs):
            if value is not None and value.is_initializer() and value.dtype == FLOAT and may_be_half(node, index):
                assert value.const_value is not None
                if is_lost(node, np.abs(value.const_value.numpy())):
                    yield node
                    break


def _is_too_large(_node: ir.Node, magnitudes: npt.NDArray[np.floating]) -> bool:
    """Whether a finite value would become Inf. An Inf, which masks, stays what it is."""
    return bool(np.max(magnitudes, initial=0.0, where=np.isfinite(magnitudes)) > LARGEST_HALF)


def _is_too_small(node: ir.Node, magnitudes: npt.NDArray[np.floating]) -> bool:
    """Whether all of a constant would lose bits or become 0; of one that divides, whether any value would.

    A small weight beside large ones counts for as little as its share of the sum.
    """
    above_zero = magnitudes[magnitudes > 0]
    if not above_zero.size:
        return False
    counts = above_zero.min() if node.op_type in ("Div", "Pow") else above_zero.max()
    return bool(counts < SMALLEST_NORMAL_HALF)


def _around_guards(graph: ir.Graph) -> list[ir.Node]:
    """The nodes that read a constant too small for half, what makes the tensor that it guards, and what divides by it.

    In sqrt(v + 1e-12) and x / (n + 1e-8) the sum is as small as the guard where the picture is flat, and half would
    make it 0 again after the addition.
    """
    border = list(_with_constants(graph, _is_too_small))
    found = dict.fromkeys(border)
    for node in border:
        makers = [value.producer() for value in node.inputs if value is not None]
        found.update((maker, None) for maker in makers if maker is not None and not is_weighted(maker))
    while border:
        readers = [reader for value in border.pop().outputs for reader in value.consumers()]
        readers = [reader for reader in readers if reader not in found and not is_weighted(reader)]
        found.update(dict.fromkeys(readers))
        border.extend(reader for reader in readers if reader.op_type in PASSES_SMALLNESS_ON)
    return list(found)


def _not_emulated(graph: ir.Graph) -> Iterator[ir.Node]:
    for node in graph:
        if any(float_outputs_that_may_be_half(node)) and not is_emulated(node):
            yield node


def _without_half(graph: ir.Graph) -> Iterator[ir.Node]:
    for node in graph:
        gives_float = any(value.dtype == FLOAT for value in node.outputs)
        if gives_float and not any(float_outputs_that_may_be_half(node)):
            yield node
