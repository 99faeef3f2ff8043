"""Largest and smallest values of each tensor in a network, and those that half cannot hold."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from mde_export.graph.canonical import to_bytes
from mde_export.graph.ops import Ops
from mde_export.graph.stages import FRAME, is_stage
from mde_export.graph.watching import insert_soonest
from mde_export.judge.evidence import ManyFrames
from mde_export.judge.execute import Executor, side_by_side
from mde_export.precision.half import FLOAT, LARGEST_HALF, SMALLEST_NORMAL_HALF
from mde_runtime.certificate import Island

HEADROOM = 2.0  # the camera will meet brighter scenes than the frames at hand: half of half's range is left free
# Inputs whose relative error becomes the result's, so that a small value counts as much as a large one.
DECIDING_INPUTS = {"Div": 1, "Reciprocal": 0, "Log": 0, "Pow": 0}
REDUCING = frozenset({"ReduceMean", "ReduceSum", "ReduceMax", "AveragePool", "GlobalAveragePool"})
ELEMENT_BY_ELEMENT = frozenset({"Sqrt", "Add", "Sub", "Max", "Min", "Clip", "Relu", "Abs", "Mul", "Div", "Exp"})


@dataclass(frozen=True)
class Range:
    """The magnitudes of a tensor over some frames. NaN where a value is."""

    largest: float
    smallest: float  # above 0; inf: there is none, or it does not count

    def joined(self, largest: npt.ArrayLike, smallest: npt.ArrayLike) -> "Range":
        """The range over one more frame."""
        return Range(float(np.maximum(self.largest, largest)), float(np.minimum(self.smallest, smallest)))


def ranges(
    model: ir.Model,
    frames: ManyFrames,
    names: Collection[str] | None = None,
    advance: Callable[[], None] = lambda: None,
) -> dict[str, Range]:
    """The range of tensors of the graph over all frames, by name. names: None: every float tensor of the network.

    advance: called a frame.
    """
    names = _of_network(model) if names is None else names
    values = [value for node in model.graph for value in node.outputs if value.name in names]
    counting = _of_divisors(model)
    watched = model.clone()
    inside = {value.name: value for node in watched.graph for value in node.outputs}
    watching = Ops("range")
    zero, infinity = watching.floats(0.0, "zero"), watching.floats(np.inf, "infinity")
    outputs = {}
    for value in values:
        magnitude = watching("Abs", [inside[value.name]], f"{value.name}/magnitude")
        outputs[value.name, "largest"] = watching("ReduceMax", [magnitude], f"{value.name}/largest", {"keepdims": 0})
        if value.name in counting:
            is_zero = watching("Equal", [magnitude, zero], f"{value.name}/is_zero")
            above_zero = watching("Where", [is_zero, infinity, magnitude], f"{value.name}/above_zero")
            smallest = watching("ReduceMin", [above_zero], f"{value.name}/smallest", {"keepdims": 0})
            outputs[value.name, "smallest"] = smallest
    for output in outputs.values():
        output.type, output.shape = ir.TensorType(FLOAT), ir.Shape([])
    watching.register_initializers(watched.graph)
    insert_soonest(watched.graph, watching.nodes)
    watched.graph.outputs.extend(outputs.values())
    session = Executor(to_bytes(watched), literal=True)
    found = dict.fromkeys((str(value.name) for value in values), Range(0.0, np.inf))
    for answer in side_by_side(lambda index: session.run({FRAME: frames[index : index + 1]}), len(frames)):
        of_frame = {key: answer[str(output.name)] for key, output in outputs.items()}
        for name in found:
            found[name] = found[name].joined(of_frame[name, "largest"], of_frame.get((name, "smallest"), np.inf))
        advance()
    return found


def largest_magnitudes(
    model: ir.Model,
    frames: ManyFrames,
    names: Collection[str] | None = None,
    advance: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    """max |x| of tensors of the graph over all frames, by name; see `ranges`."""
    return {name: seen.largest for name, seen in ranges(model, frames, names, advance).items()}


def beyond_half(model: ir.Model, seen: dict[str, Range]) -> tuple[Island, ...]:
    """The nodes that make or read a tensor too large or too small for half: an island for each such tensor."""
    too_small = _vanishing(model, seen)
    reasons = {
        name: f"reaches {value.largest:.3g}, FP16 ends at {LARGEST_HALF:g}"
        for name, value in seen.items()
        if not value.largest * HEADROOM <= LARGEST_HALF
    }
    for name in filter(too_small.__contains__, seen):
        reasons.setdefault(name, f"reaches down to {too_small[name]:.3g}, FP16 ends at {SMALLEST_NORMAL_HALF:.3g}")
    found = ((tuple(_makers_and_readers(model, name)), reason) for name, reason in reasons.items())
    return tuple(Island(nodes, reason, None) for nodes, reason in found)


def _vanishing(model: ir.Model, seen: dict[str, Range]) -> dict[str, float]:
    """The tensors of which half loses small values that count, each with the smallest that counts.

    Those that are small everywhere; and those that divide, or of which a logarithm or a root is taken, with what they
    are made of. Elsewhere a small value stands beside larger ones and is lost in their rounding anyway.
    """
    found = {name: value.largest for name, value in seen.items() if 0 < value.largest < SMALLEST_NORMAL_HALF}
    for node in model.graph:
        divisor = _divisor(node)
        smallest = seen[str(divisor.name)].smallest if divisor is not None and divisor.name in seen else np.inf
        if divisor is None or not smallest < SMALLEST_NORMAL_HALF:
            continue
        found.update({str(value.name): smallest for value in node.inputs if value is not None and value.name in seen})
        border = [(divisor, smallest)]
        while border:
            value, reached = border.pop()
            found[str(value.name)] = min(reached, found.get(str(value.name), np.inf))
            border.extend(_made_of(value, reached, seen))
    return found


def _divisor(node: ir.Node) -> ir.Value | None:
    """The input of the node whose relative error becomes the result's, however small it is."""
    if node.op_type == "Pow":
        exponent = node.inputs[1].const_value if node.inputs[1] is not None else None
        if exponent is not None and np.all(exponent.numpy() >= 1):
            return None
    index = DECIDING_INPUTS.get(node.op_type)
    return None if index is None else node.inputs[index]


def _made_of(value: ir.Value, reached: float, seen: dict[str, Range]) -> Iterator[tuple[ir.Value, float]]:
    """What a tensor with a value as small as `reached` is made of, where that is too small for half, and how small."""
    producer = value.producer()
    if producer is None or is_stage(producer.name):
        return
    for source in producer.inputs:
        if source is None or source.name not in seen:
            continue
        if producer.op_type in REDUCING:
            smallest = reached  # of what is not negative: all that is added up there is as small
        elif _is_square(producer):
            smallest = float(np.sqrt(reached))
        else:
            smallest = seen[str(source.name)].smallest if producer.op_type in ELEMENT_BY_ELEMENT else np.inf
        if smallest < SMALLEST_NORMAL_HALF:
            yield source, smallest


def _is_square(node: ir.Node) -> bool:
    if node.op_type == "Pow":
        exponent = node.inputs[1].const_value if node.inputs[1] is not None else None
        return exponent is not None and bool(np.all(exponent.numpy() == 2))
    return node.op_type == "Mul" and node.inputs[0] is node.inputs[1]


def _of_network(model: ir.Model) -> set[str]:
    """The float tensors that the network computes; the stages' are left out."""
    values = (value for node in model.graph if not is_stage(node.name) for value in node.outputs)
    return {value.name for value in values if value.dtype == FLOAT and value.name}


def _of_divisors(model: ir.Model) -> set[str | None]:
    """The tensors whose smallest value counts: divisors and the like, and what these are made of."""
    border = [value for node in model.graph for value in (_divisor(node),) if value is not None]
    found: set[str | None] = set()
    while border:
        value = border.pop()
        producer = value.producer()
        if value.name in found:
            continue
        found.add(value.name)
        if producer is not None and (producer.op_type in REDUCING | ELEMENT_BY_ELEMENT or _is_square(producer)):
            border.extend(source for source in producer.inputs if source is not None)
    return found


def _makers_and_readers(model: ir.Model, name: str) -> Iterator[str]:
    for node in model.graph:
        touched = [value for value in (*node.inputs, *node.outputs) if value is not None and value.name == name]
        if touched and node.name and not is_stage(node.name):
            yield node.name
