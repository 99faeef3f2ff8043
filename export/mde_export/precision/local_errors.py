"""Local errors: those that each block of a lowered graph makes by itself, from one pass over a few frames.

The FP32 network and a copy in the lower precision run side by side in one graph. Every block of the copy reads what the
FP32 network gives to it, so its result differs by its own rounding alone:

    error of a block = sum over what it hands on of (sum of (lowered - FP32)² / sum of FP32²)

It ranks blocks for a search; whether keeping some of them is enough is measured on the whole graph.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common

from mde_export.graph.canonical import stripped, to_bytes
from mde_export.graph.ops import Ops
from mde_export.graph.stages import FRAME
from mde_export.graph.watching import insert_soonest
from mde_export.judge.evidence import ManyFrames
from mde_export.judge.execute import Executor
from mde_export.precision.half import FLOAT

Block = tuple[str, ...]  # node names
Lower = Callable[[ir.Model, Mapping[str, str]], ir.Model]  # to the graph that is run; the map: see Cut.entries
COPY = "lowered:"  # before the names of the copy


@dataclass(frozen=True)
class Cut:
    """The blocks apart from each other: a graph that reads and gives every tensor between two of them."""

    model: ir.Model
    tensors: dict[str, str]  # by the name of the input that stands for it
    entries: dict[str, str]  # the same by the name of what is read of that input
    makers: dict[str, Block]  # of each output


def local_errors(model: ir.Model, blocks: Sequence[Block], lower: Lower, frames: ManyFrames) -> dict[Block, float]:
    """The error of each block over the frames (N, H, W, 3); inf where a value is not finite.

    model: the FP32 graph with its stages, its types inferred. lower: makes the graph of the lower precision.
    """
    cut = _cut(model, blocks)
    side_by_side, outputs = _joined(model, lower(cut.model, cut.entries), cut)
    executor = Executor(to_bytes(side_by_side), literal=True)
    sums = {name: np.zeros(2) for name in outputs}
    for index in range(len(frames)):
        answer = executor.run({FRAME: frames[index : index + 1]})
        for name, (error, square) in outputs.items():
            sums[name] += (float(answer[error]), float(answer[square]))
    errors = dict.fromkeys(blocks, 0.0)
    for name, (squared_error, squares) in sums.items():
        share = float(squared_error / squares if squares else squared_error)
        errors[cut.makers[name]] += share if np.isfinite(share) else np.inf
    return errors


def _cut(model: ir.Model, blocks: Sequence[Block]) -> Cut:
    """Give every tensor between a block and another place an input in its place, behind an Identity of its own."""
    model = model.clone()
    graph = model.graph
    place = {name: block for block in blocks for name in block}
    tensors: dict[str, str] = {}
    entries: dict[str, str] = {}
    makers: dict[str, Block] = {}
    for node in list(graph):
        here = place.get(str(node.name))
        for value in node.outputs:
            readers = [(reader, index) for reader, index in value.uses() if place.get(str(reader.name)) != here]
            if value.dtype != FLOAT or not (readers or value.is_graph_output()):
                continue
            if here is not None:
                makers[str(value.name)] = here
            outside = [(reader, index) for reader, index in readers if str(reader.name) in place]
            if outside:
                given, seen = _entry(graph, value)
                tensors[str(given.name)] = entries[str(seen.name)] = str(value.name)
                for reader, index in outside:
                    reader.replace_input_with(index, seen)
    values = {value.name: value for node in graph for value in node.outputs}
    graph.outputs[:] = [values[name] for name in makers]
    common.RemoveUnusedNodesPass()(model)
    graph.inputs[:] = [value for value in graph.inputs if value.uses()]
    return Cut(model, tensors, entries, makers)


def _entry(graph: ir.Graph, value: ir.Value) -> tuple[ir.Value, ir.Value]:
    """An input that stands for a tensor, and what is read of it."""
    given = ir.Value(name=f"{value.name}/given", type=value.type, shape=value.shape)
    identity = ir.node("Identity", [given], name=f"{value.name}/entry")
    seen = identity.outputs[0]
    seen.name, seen.type, seen.shape = f"{value.name}/seen", value.type, value.shape
    graph.inputs.append(given)
    graph.insert_before(graph[0], identity)
    return given, seen


def _joined(model: ir.Model, lowered: ir.Model, cut: Cut) -> tuple[ir.Model, dict[str, tuple[str, str]]]:
    """Both in one graph, with the sum of squared differences and of squares of each tensor of `cut.makers`."""
    joined, copy = model.clone(), stripped(lowered)
    graph = joined.graph
    for value in _values(copy.graph):
        value.name = f"{COPY}{value.name}"
    of_network = {value.name: value for node in graph for value in node.outputs}
    lowered_outputs = dict(zip(cut.makers, copy.graph.outputs, strict=True))
    for given in list(copy.graph.inputs):
        ir.convenience.replace_all_uses_with(given, of_network[cut.tensors[str(given.name).removeprefix(COPY)]])
    for name, value in list(copy.graph.initializers.items()):
        del copy.graph.initializers[name]
        graph.register_initializer(value)
    nodes = list(copy.graph)
    copy.graph.outputs.clear()
    copy.graph.remove(nodes)
    for node in nodes:
        node.name = f"{COPY}{node.name}"
    ops, names = Ops("error"), {}
    graph.outputs.clear()
    for name, value in lowered_outputs.items():
        exact = of_network[name]
        difference = ops("Sub", [value, exact], f"{name}/difference")
        error = ops("ReduceSumSquare", [difference], f"{name}/error", {"keepdims": 0})
        square = ops("ReduceSumSquare", [exact], f"{name}/square", {"keepdims": 0})
        for output in (error, square):
            output.type, output.shape = ir.TensorType(FLOAT), ir.Shape([])
            graph.outputs.append(output)
        names[name] = (str(error.name), str(square.name))
    ops.register_initializers(graph)
    insert_soonest(graph, [*nodes, *ops.nodes])
    joined.opset_imports.update(copy.opset_imports)
    return joined, names


def _values(graph: ir.Graph) -> Iterator[ir.Value]:
    yield from graph.inputs
    yield from list(graph.initializers.values())
    yield from (value for node in graph for value in node.outputs)
