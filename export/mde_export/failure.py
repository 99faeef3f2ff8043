"""What to say when a graph misses its limits: the figure, the worst frame, the suspicious nodes, what to try."""

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from mde_export.certify import Trial
from mde_export.evidence import Evidence, Frames
from mde_export.ranges import largest_magnitudes
from mde_runtime.errors import VerdictError

NUM_SUSPECTS = 3
REMEDIES = {
    "fp32": "the graph computes something else than the original: look for chance in its forward, or layers that act "
    "otherwise in training",
    "fp16": "export without --fp16, or train with smaller activations (normalisation, weight decay)",
    "int8": "give frames that are more like the camera's with --frames DIR, or export with --fp16 instead",
}


def verdict(
    trial: Trial, model: ir.Model, evidence: Evidence, first_difference: Callable[[Frames], str] | None
) -> VerdictError:
    """The error of a trial that failed. `model`: the FP32 graph with its stages, types inferred.

    first_difference: why an FP32 graph is not the original, where the original can be looked into.
    """
    worst = evidence.pictures.frames[trial.parity.worst_frame][None]
    if trial.precision == "fp32" and first_difference is not None:
        why = first_difference(worst)
    else:
        why = f"suspicious nodes: {', '.join(_suspects(model, worst))}"
    return VerdictError(
        f"{trial.precision} certificate failed on the {evidence.pictures.in_words}, worst frame "
        f"{trial.parity.worst_frame}: {'; '.join(trial.breaches)}; {why}; {REMEDIES[trial.precision]}. "
        "No bundle was written"
    )


def _suspects(model: ir.Model, frames: np.ndarray) -> list[str]:
    """The first nodes that give NaN or Inf on the frames, else those with the largest values."""
    largest = largest_magnitudes(model, frames)
    bad = [name for name, value in largest.items() if not np.isfinite(value)]
    names = bad or sorted(largest, key=lambda name: -largest[name])
    makers = {value.name: node.name for node in model.graph for value in node.outputs}
    return [f"{makers[name]} (up to {largest[name]:.3g})" for name in names[:NUM_SUSPECTS]]
