"""The plan of an export: model, frames and measured points are read, nothing is run or written."""

from mde_export.camera.focal_length import contract_for_camera
from mde_export.camera.points import points_of
from mde_export.frames import RENDERED, given_pictures
from mde_export.graph.stages import check_metric
from mde_export.outputs import check_written
from mde_export.precision.target_table import TARGETS
from mde_export.request.request import Request
from mde_export.sources import open_source, precisions_of
from mde_runtime.parity import Limits


def plan(request: Request) -> str:
    """The plan in lines. Raises what the export would raise of what it reads and where it writes."""
    source = open_source(request)
    precisions = precisions_of(source, request)
    check_written(request, precisions)
    contract = contract_for_camera(request.calibrated(source.contract), request)
    frame, inside, from_network = contract.source, contract.to_network, contract.from_network
    fit = ""
    if request.measured is None:
        check_metric(contract)
    else:
        num_points = sum(len(shot.metres) for shot in points_of(request.measured, request, source.contract))
        fit = f"scale and shift to {num_points} distances of {request.measured}"
    given = given_pictures(source, request)
    limits = {name: Limits.of(name, from_network).rmse_worst_m for name in precisions}
    batch = "1" if request.batch is None else "{} to {}, usually {}".format(*[request.batch[i] for i in (0, 2, 1)])
    lines = {
        "model": f"{source.model}, {source.origin} {source.sha256[:12]}",
        "frame": f"uint8 {frame.height_px}x{frame.width_px} {frame.colour}, {batch} at once",
        "network": f"{inside.height_px}x{inside.width_px}, {inside.resize}, {inside.interpolation}",
        "depth": (
            f"{from_network.near_m:g} to {from_network.far_m:g} m from {from_network.kind} x {from_network.scale:g} "
            f"+ {from_network.shift:g}"
        ),
        "assumed": "; ".join(source.notes),
        "fit": fit,
        "reference": source.reference,
        "frames": given.in_words if given else RENDERED,
        "graphs": ", ".join(f"{name} (worst frame within {limit * 100:g} cm)" for name, limit in limits.items()),
        "target": f"{request.target}: {TARGETS[request.target].in_words}" if request.target else "",
        "engine": request.engine,
        "writes": ", ".join(map(str, filter(None, (request.bundle, request.emit)))),
    }
    return "\n".join(f"{name:<10}{text}" for name, text in lines.items() if text)
