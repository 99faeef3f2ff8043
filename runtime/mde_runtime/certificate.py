"""The certificate of a graph: how far it is from the model it came from, on which frames, judged how."""

from dataclasses import dataclass
from typing import Literal

from mde_runtime.parity import Limits, Parity

Precision = Literal["fp32", "fp16", "int8"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8")


@dataclass(frozen=True)
class Island:
    """A block of nodes that stays FP32 in a lower precision, and why."""

    nodes: tuple[str, ...]  # ONNX node names
    reason: str
    rmse_worst_without_m: float | None  # the worst frame's RMSE if this block were lowered too; None: kept by rule


@dataclass(frozen=True)
class Certificate:
    """One graph's certificate, `certificates/<precision>.json` in a bundle. Only a passed one is ever written."""

    precision: Precision
    graph_sha256: str
    reference: str  # what the graph was compared with, in words
    executor: str  # what ran the graph, in words, with its version
    frames_source: str  # where the frames came from, in words, without a path
    frames_sha256: str  # of the frames' bytes, in order
    limits: Limits
    parity: Parity
    kept_fp32: tuple[Island, ...]
    derived_from: Parity | None  # the original's figures, where the reference was a bundle's FP32 graph
    truth_rmse_m: tuple[float, float] | None  # RMSE to ground truth of the reference and of this graph, where known
