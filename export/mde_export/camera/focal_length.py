"""A network whose map is metric for one focal length, for a camera of another: metres = map * focal / canonical.

It is settled at export where the camera is known by then. Else the bundle keeps its canonical focal length, and the
runtime asks for the camera's.
"""

import math
from dataclasses import replace

from mde_export.request.request import Request
from mde_export.sources import Source
from mde_runtime.contract import Contract
from mde_runtime.errors import UsageError


def for_camera(source: Source, request: Request) -> Source:
    """The source with the contract for its camera, once scale and shift are set; a note where none is known.

    Raises UsageError where a focal length is given for a network that has no use for it.
    """
    contract, notes = contract_for_camera(source.contract, request), source.notes
    canonical_px = contract.from_network.canonical_focal_px
    if canonical_px is not None:
        notes = (
            *notes,
            f"its depth is metric for a focal length of {canonical_px:.4g} px at the frame's size: mde-predict will "
            "ask for the camera's; --focal-px here sets it for good",
        )
    return replace(source, contract=contract, notes=notes)


def contract_for_camera(contract: Contract, request: Request) -> Contract:
    """The same of a contract."""
    canonical_px = contract.from_network.canonical_focal_px
    if canonical_px is None:
        if request.focal_px is not None:
            raise UsageError(f"{request.model}: its depth does not depend on a focal length; leave --focal-px out")
        return contract
    if request.measured is not None:  # what was measured with the camera holds its focal length
        return _with_gain(contract, 1.0)
    if not contract.from_network.is_metric:  # a focal length is no fit: the export goes on to refuse it as relative
        return contract
    known_px = contract.intrinsics.fx_px if contract.intrinsics else None
    focal_px = known_px if request.focal_px is None else request.focal_px
    return contract if focal_px is None else _with_gain(contract, focal_px / canonical_px)


def _with_gain(contract: Contract, gain: float) -> Contract:
    """Metres times gain: in the network's quantity, and in the range."""
    old = contract.from_network
    if old.kind == "log_depth":
        scale, shift = old.scale, old.shift + math.log(gain)
    else:
        factor = gain if old.kind == "metric_depth" else 1 / gain
        scale, shift = old.scale * factor, old.shift * factor
    from_network = replace(
        old,
        canonical_focal_px=None,
        scale=scale,
        shift=shift,
        near_m=old.near_m * gain,
        far_m=old.far_m * gain,
    )
    return replace(contract, from_network=from_network)
