"""The scale of an opened bundle: what its depth is multiplied by, for the camera that it is opened for."""

import numpy as np

from mde_runtime.bundle import Bundle
from mde_runtime.camera.calibration import Calibration
from mde_runtime.contract import Contract
from mde_runtime.errors import UsageError


def gain_for(bundle: Bundle, calibration: Calibration | None, focal_px: float | None) -> float:
    """The gain of a bundle's depth; 1 where there is neither a calibration nor a canonical focal length.

    A calibration was measured with the camera, so it holds the focal length already. Raises UsageError where the
    network is metric for one focal length and the camera's is not known.
    """
    if calibration is not None:
        return calibration.gain
    canonical_px = bundle.contract.from_network.canonical_focal_px
    if canonical_px is None:
        return 1.0
    known_px = bundle.contract.intrinsics.fx_px if bundle.contract.intrinsics else None
    focal_px = known_px if focal_px is None else focal_px
    if focal_px is None:
        raise UsageError(
            f"{bundle.path}: its depth is metric for a focal length of {canonical_px:.4g} px; pass your camera's, at "
            "the bundle's frame size, with --focal-px (focal_px), or a calibration"
        )
    if not (np.isfinite(focal_px) and focal_px > 0):
        raise UsageError(f"a focal length of {focal_px:g} px is not valid; pass one greater than 0")
    return focal_px / canonical_px


def range_of(contract: Contract, gain: float) -> tuple[float, float]:
    """The least and the greatest depth that can come, metres, as float32 has them: gain * near and gain * far."""
    near_m, far_m = contract.from_network.near_m, contract.from_network.far_m
    if gain == 1:
        return near_m, far_m
    return float(np.float32(gain) * np.float32(near_m)), float(np.float32(gain) * np.float32(far_m))
