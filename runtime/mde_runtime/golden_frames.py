"""A bundle's golden frames for an engine that somebody else runs, and the verdict on the depth that it gave."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from mde_runtime import parity
from mde_runtime.bundle import Bundle
from mde_runtime.depth_files import depth_of_frame
from mde_runtime.errors import BadInputError
from mde_runtime.files import replacing
from mde_runtime.parity import Limits, Parity
from mde_runtime.precision import Precision


@dataclass(frozen=True)
class DepthVerdict:
    """Depth that came from anywhere against the golden frames' own. `breaches` is empty where it passed."""

    precision: Precision  # whose limits it was judged by
    graph_sha256: str
    limits: Limits
    parity: Parity
    breaches: tuple[str, ...]


def frame_name(index: int) -> str:
    """The name of a golden frame's picture and of its depth, without a suffix."""
    return f"golden-{index}"


def write_golden(bundle: Bundle, folder: Path) -> list[Path]:
    """Write the golden frames as PNG, in red, green and blue, whatever order the camera has."""
    folder.mkdir(parents=True, exist_ok=True)
    is_rgb = bundle.contract.source.colour == "rgb"
    written = []
    for index, frame in enumerate(bundle.golden().frames):
        path = folder / f"{frame_name(index)}.png"
        with replacing(path) as draft:
            Image.fromarray(np.ascontiguousarray(frame if is_rgb else frame[..., ::-1])).save(draft, format="PNG")
        written.append(path)
    return written


def judge_depth(bundle: Bundle, folder: Path, precision: Precision) -> DepthVerdict:
    """Judge the depth of a folder by the limits of a precision. Raises BadInputError where a frame's is missing."""
    golden = bundle.golden()
    depth_m = np.stack([_of_golden(folder, index, golden.depth_m.shape[1:]) for index in range(len(golden.frames))])
    num_nonfinite = int(np.count_nonzero(~np.isfinite(depth_m)))
    depth_m[~np.isfinite(depth_m)] = 0  # so that every figure is a number; what is none breaches by its count
    limits = Limits.of(precision, bundle.contract.from_network)
    measured = parity.measure(depth_m, golden.depth_m, num_nonfinite, bundle.contract)
    return DepthVerdict(precision, bundle.graph_sha256("fp32"), limits, measured, tuple(measured.breaches(limits)))


def _of_golden(folder: Path, index: int, size: tuple[int, ...]) -> parity.Depth:
    depth_m = depth_of_frame(folder, frame_name(index))
    if depth_m.shape != size:
        raise BadInputError(
            f"{folder}: the depth of {frame_name(index)} is {depth_m.shape[0]}x{depth_m.shape[1]} px, the frame "
            f"{size[0]}x{size[1]} px; resize it to the frame as your pipeline does"
        )
    return depth_m
