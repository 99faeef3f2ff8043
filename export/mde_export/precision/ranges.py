"""How large the values inside a network become on real frames, tensor by tensor."""

from collections.abc import Collection, Iterable

import numpy as np
import onnx_ir as ir

from mde_export.graph.canonical import to_bytes
from mde_export.graph.stages import FRAME, is_stage
from mde_export.judge.evidence import Frames
from mde_export.judge.execute import Executor
from mde_export.precision.half import FLOAT, LARGEST_HALF
from mde_runtime.certificate import Island

HEADROOM = 2.0  # the camera will meet brighter scenes than the frames at hand: half of half's range is left free


def largest_magnitudes(model: ir.Model, frames: Frames, wanted: Collection[str] | None = None) -> dict[str, float]:
    """max |x| of tensors of the graph over all frames, by name. NaN where one is.

    wanted: their names; None: every float tensor that the network computes.
    """
    watched = model.clone()
    wanted = _of_network(model) if wanted is None else wanted
    found = [value for node in watched.graph for value in node.outputs if value.name in wanted]
    names = {_watch(watched.graph, value): str(value.name) for value in found}
    session = Executor(to_bytes(watched), literal=True)
    largest = dict.fromkeys(names.values(), 0.0)
    for index in range(len(frames)):
        answer = session.run({FRAME: frames[index : index + 1]})
        for output, name in names.items():
            largest[name] = float(np.maximum(largest[name], answer[output]))
    return largest


def beyond_half(model: ir.Model, largest: dict[str, float]) -> tuple[Island, ...]:
    """The nodes that make or read a tensor too large for half: an island for each such tensor."""
    return tuple(
        Island(tuple(_makers_and_readers(model, name)), f"reaches {value:.3g}, half ends at {LARGEST_HALF:g}", None)
        for name, value in largest.items()
        if not value * HEADROOM <= LARGEST_HALF
    )


def _of_network(model: ir.Model) -> set[str]:
    """The float tensors that the network computes; the stages' are left out."""
    values = (value for node in model.graph if not is_stage(node.name) for value in node.outputs)
    return {value.name for value in values if value.dtype == FLOAT and value.name}


def _watch(graph: ir.Graph, value: ir.Value) -> str:
    magnitude = ir.node("Abs", [value], name=f"{value.name}/magnitude")
    largest = ir.node("ReduceMax", magnitude.outputs, {"keepdims": 0}, name=f"{value.name}/largest")
    magnitude.outputs[0].name, largest.outputs[0].name = f"{value.name}/magnitude", f"{value.name}/largest"
    largest.outputs[0].type, largest.outputs[0].shape = ir.TensorType(FLOAT), ir.Shape([])
    graph.extend([magnitude, largest])
    graph.outputs.append(largest.outputs[0])
    return f"{value.name}/largest"


def _makers_and_readers(model: ir.Model, name: str) -> Iterable[str]:
    for node in model.graph:
        touched = [value for value in (*node.inputs, *node.outputs) if value is not None and value.name == name]
        if touched and node.name and not is_stage(node.name):
            yield node.name
