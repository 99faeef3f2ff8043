"""What an export would do, without doing it: the model is read, nothing is run or written."""

from mde_export.evidence import MIN_FRAMES
from mde_export.request import Request
from mde_export.sources import open_source
from mde_export.targets import TARGETS
from mde_runtime.certificate import PRECISIONS
from mde_runtime.errors import BadInputError
from mde_runtime.parity import Limits


def plan(request: Request) -> str:
    """The plan in lines. Raises what reading the model raises, and BadInputError where frames are missing."""
    source = open_source(request)
    contract = request.calibrated(source.contract)
    frame, inside, wanted = contract.source, contract.to_network, contract.from_network
    precisions = [name for name in PRECISIONS if name in ("fp32", *source.precisions, *request.precisions)]
    if request.frames is None and source.pictures is None:
        raise BadInputError(f"{request.model}: brings no frames; give {MIN_FRAMES} or more with --frames DIR")
    frames = request.frames or (source.pictures and source.pictures.in_words)
    limits = {name: Limits.of(name, wanted).rmse_worst_m for name in precisions}
    batch = "1" if request.batch is None else "{} to {}, usually {}".format(*[request.batch[i] for i in (0, 2, 1)])
    lines = {
        "model": f"{source.model}, {source.origin} {source.sha256[:12]}",
        "frame": f"uint8 {frame.height_px}x{frame.width_px} {frame.colour}, {batch} at once",
        "network": f"{inside.height_px}x{inside.width_px}, {inside.resize}, {inside.interpolation}",
        "depth": f"{wanted.near_m:g} to {wanted.far_m:g} m from {wanted.kind} x {wanted.scale:g} + {wanted.shift:g}",
        "fit": f"scale and shift to {request.measured}" if request.measured else "",
        "reference": source.reference,
        "frames": str(frames),
        "graphs": ", ".join(f"{name} (worst frame within {limit * 100:g} cm)" for name, limit in limits.items()),
        "target": f"{request.target}: {TARGETS[request.target].library}" if request.target else "",
        "engine": request.engine,
        "writes": ", ".join(map(str, filter(None, (request.bundle, request.emit)))),
    }
    return "\n".join(f"{name:<10}{text}" for name, text in lines.items() if text)
