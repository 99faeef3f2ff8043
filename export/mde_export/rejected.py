"""What is kept of a graph that failed, for whoever wants to know why: the graph, a report by node, a command."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir

from mde_export.certify import Trial
from mde_export.evidence import Evidence
from mde_export.ranges import largest_magnitudes
from mde_runtime import files, records
from mde_runtime.certificate import Island, Precision
from mde_runtime.parity import Parity


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
