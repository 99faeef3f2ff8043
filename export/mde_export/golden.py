"""The golden frames of a bundle: what a device is verified with."""

import numpy as np

from mde_export.evidence import Evidence
from mde_export.request import Request
from mde_export.sources import Source
from mde_export.steps import Step
from mde_runtime.bundle import Golden
from mde_runtime.errors import VerdictError
from mde_runtime.fitting import frame_of

NUM_GOLDEN = 8
SYNTH_SEED = 0  # any will do, but the same bundle has the same bytes


def golden_of(source: Source, evidence: Evidence, request: Request, step: Step) -> Golden:
    """Frames spread evenly over the evidence, or rendered ones, and the original model's depth for them."""
    if request.golden == "synth":
        return _rendered(source, step)
    spread = np.unique(np.linspace(0, len(evidence.depth_m) - 1, NUM_GOLDEN).astype(int))
    return Golden(evidence.pictures.frames[spread], evidence.depth_m[spread])


def _rendered(source: Source, step: Step) -> Golden:
    """Nothing of anybody's data goes into the bundle. Raises VerdictError where the model gives NaN or Inf on them."""
    from mde_train.data.synth.frames import make_frame

    with step("golden frames: rendered", NUM_GOLDEN) as moved_on:
        pictures = [make_frame(SYNTH_SEED, index).frame for index in range(NUM_GOLDEN)]
        frames = np.stack([frame_of(picture, source.contract) for picture in pictures])
        depth_m, num_nonfinite = source.depth_by(source.contract)(frames, moved_on)
    if num_nonfinite:
        raise VerdictError(
            f"{source.reference} gives {num_nonfinite} values that are NaN or Inf on the rendered golden frames; "
            "leave --golden synth out, or train on rendered scenes, too"
        )
    return Golden(frames, depth_m)
