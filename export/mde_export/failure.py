"""A graph that failed: what to say of it, and what to keep for whoever wants to know why."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir

from mde_export.graph.jumps import first_jump
from mde_export.judge.certify import Trial
from mde_export.judge.evidence import Evidence, Frames
from mde_export.precision.ranges import largest_magnitudes
from mde_runtime import files, records
from mde_runtime.certificate import Island
from mde_runtime.errors import VerdictError
from mde_runtime.parity import Parity
from mde_runtime.precision import Precision


@dataclass(frozen=True)
class NodeRow:
    """A node of the network, and the largest |x| that it gives on the worst frame; None: NaN or Inf."""

    node: str
    operator: str
    largest: float | None
    is_kept_fp32: bool


@dataclass(frozen=True)
class Report:
    """`<name>.<precision>.rejected.json`."""

    precision: Precision
    breaches: tuple[str, ...]
    parity: Parity | None  # None where a figure is NaN, which JSON cannot say
    kept_fp32: tuple[Island, ...]
    nodes: tuple[NodeRow, ...]
    trtexec: str  # what builds and times the rejected graph


def rejected_graph(folder: Path, name: str, precision: Precision) -> Path:
    """Where a graph of the bundle `name` goes when it fails."""
    return folder / f"{name}.{precision}.rejected.onnx"


def keep_rejected(folder: Path, name: str, trial: Trial, model: ir.Model, evidence: Evidence) -> Sequence[Path]:
    """Write the rejected graph and its report. `model`: the FP32 graph with its stages, types inferred."""
    graph = rejected_graph(folder, name, trial.precision)
    worst = evidence.pictures.frames[trial.parity.worst_frame][None]
    largest = largest_magnitudes(model, worst)
    kept = {node for island in trial.kept_fp32 for node in island.nodes}
    rows = tuple(
        NodeRow(node.name, node.op_type, value if np.isfinite(value) else None, node.name in kept)
        for node in model.graph
        if node.name and (value := largest.get(str(node.outputs[0].name))) is not None
    )
    report = Report(
        precision=trial.precision,
        breaches=trial.breaches,
        parity=trial.parity if np.isfinite(trial.parity.rmse_m) else None,
        kept_fp32=trial.kept_fp32,
        nodes=rows,
        trtexec=f"trtexec --onnx={graph.name} --stronglyTyped --noTF32",
    )
    files.write_bytes(graph, trial.graph)
    files.write_text(graph.with_suffix(".json"), records.dumps(report))
    return graph, graph.with_suffix(".json")


NUM_SUSPECTS = 3
REMEDIES = {
    "fp32": "the graph does not compute what the original computes; export the original model again",
    "fp16": "export without --fp16, or train with smaller activations (normalisation, weight decay)",
    "int8": "pass frames closer to your camera's with --frames DIR, or export with --fp16 instead",
}


def verdict(
    trial: Trial, model: ir.Model, evidence: Evidence, first_difference: Callable[[Frames], str] | None
) -> VerdictError:
    """The error of a trial that failed. `model`: the FP32 graph with its stages, types inferred.

    first_difference: why an FP32 graph is not the original, and what to do, where the original can be looked into.
    """
    worst = evidence.pictures.frames[trial.parity.worst_frame][None]
    if trial.precision == "fp32" and first_difference is not None:
        why = first_difference(worst)
    else:
        why = f"suspicious nodes: {', '.join(_suspects(model, worst))}; {REMEDIES[trial.precision]}"
    if jump := first_jump(model):
        why = (
            f"{jump} jumps: where its inputs are all but equal, rounding moves depth by a whole step; train a head "
            f"without it, such as the mean of the bins weighted by their softmax, or find the cause elsewhere: {why}"
        )
    return VerdictError(
        f"{trial.precision} certificate failed on the {evidence.pictures.in_words}, worst frame "
        f"{trial.parity.worst_frame}: {'; '.join(trial.breaches)}; {why}. "
        "No bundle was written"
    )


def _suspects(model: ir.Model, frames: np.ndarray) -> list[str]:
    """The first nodes that give NaN or Inf on the frames, else those with the largest values."""
    largest = largest_magnitudes(model, frames)
    bad = [name for name, value in largest.items() if not np.isfinite(value)]
    names = bad or sorted(largest, key=lambda name: -largest[name])
    makers = {value.name: node.name for node in model.graph for value in node.outputs}
    return [f"{makers[name]} (up to {largest[name]:.3g})" for name in names[:NUM_SUSPECTS]]
