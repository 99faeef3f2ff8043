"""The result of an export in numbers: nodes, casts, weights, and multiply-adds by precision."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from mde_export.graph.canonical import from_bytes, stripped
from mde_export.graph.work import multiply_adds_of
from mde_export.judge.certify import Trial
from mde_export.precision.half import HALF
from mde_export.precision.islands import names_in, was_repaired


@dataclass(frozen=True)
class GraphFigures:
    """A graph, counted. Multiply-adds of one frame, in layers with weights and products of tensors."""

    name: str
    num_nodes: int
    num_casts: int  # to another precision: Cast, QuantizeLinear, DequantizeLinear of a tensor
    num_multiply_adds: int
    lowered_share: float  # of the multiply-adds: on half or int8 operands
    repaired_share: float  # of the multiply-adds: in FP32 because the graph failed without
    weights_bytes: int
    file_bytes: int | None  # None: not a file of its own


def figures_of(network: ir.Model, trials: Sequence[Trial]) -> tuple[GraphFigures, ...]:
    """The network alone, then every graph that was made of it."""
    return (
        _figures("network", stripped(network), None, frozenset()),
        *(
            _figures(
                trial.precision,
                stripped(from_bytes(trial.graph)),
                len(trial.graph),
                names_in(filter(was_repaired, trial.kept_fp32)),
            )
            for trial in trials
        ),
    )


def as_table(figures: Sequence[GraphFigures]) -> str:
    """The figures as text, a graph a line."""
    lines = ["graph     nodes  casts  multiply-adds  lowered    weights       file"]
    for row in figures:
        file = "" if row.file_bytes is None else f"{row.file_bytes / 1e6:.2f} MB"
        lines.append(
            f"{row.name:<8}{row.num_nodes:>7}{row.num_casts:>7}{row.num_multiply_adds / 1e9:>13.3f} G"
            f"{row.lowered_share:>9.1%}{row.weights_bytes / 1e6:>8.2f} MB{file:>11}"
        )
    return "\n".join(lines)


def _figures(name: str, model: ir.Model, file_bytes: int | None, repaired: Collection[str]) -> GraphFigures:
    nodes = list(model.graph)
    total = sum(map(multiply_adds_of, nodes))
    lowered = sum(multiply_adds_of(node) for node in nodes if _is_lowered(node))
    kept = sum(multiply_adds_of(node) for node in nodes if node.name in repaired)
    tensors = [value.const_value for value in model.graph.initializers.values()]
    return GraphFigures(
        name=name,
        num_nodes=len(nodes),
        num_casts=sum(_is_cast(node) for node in nodes),
        num_multiply_adds=total,
        lowered_share=lowered / total if total else 0.0,
        repaired_share=kept / total if total else 0.0,
        weights_bytes=sum(tensor.nbytes for tensor in tensors if tensor is not None),
        file_bytes=file_bytes,
    )


def _is_lowered(node: ir.Node) -> bool:
    """Half by type, or int8 because both operands come from a DequantizeLinear."""
    operands = [value for value in node.inputs[:2] if value is not None]
    makers = [value.producer() for value in operands]
    return node.outputs[0].dtype == HALF or all(maker and maker.op_type == "DequantizeLinear" for maker in makers)


def _is_cast(node: ir.Node) -> bool:
    source = node.inputs[0] if node.inputs else None
    is_of_weight = source is not None and source.is_initializer()
    return node.op_type in ("Cast", "QuantizeLinear", "DequantizeLinear") and not is_of_weight
