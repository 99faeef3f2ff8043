"""A camera's calibration, `camera.json`: the gain that makes a bundle's depth true for that camera.

It belongs to one bundle and one size of frames. Calibrated depth is float32 gain * depth; 0 stays 0. Graph, certificate
and verification stay as they are.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from mde_runtime import records
from mde_runtime.bundle import Bundle
from mde_runtime.contract import MAX_FAR_M, Intrinsics
from mde_runtime.errors import BadInputError
from mde_runtime.files import read_small

VERSION: Final = 1  # of the format


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """The calibration's worth: errors of points that the gain was fitted without, before it and after."""

    num_points: int
    num_pictures: int
    abs_log_before: float  # mean of |ln(depth / distance)|
    abs_log: float
    abs_before_m: float  # mean of |depth - distance|
    abs_m: float
    rmse_before_m: float
    rmse_m: float


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """`camera.json`."""

    version: Literal[1] = VERSION
    bundle_sha256: str  # of the bundle's manifest.json, which holds the SHA-256 of every other member
    height_px: int  # of the bundle's frames
    width_px: int
    gain: float  # metres = gain * the bundle's depth
    intrinsics: Intrinsics | None  # of the camera at that size
    heldout: HeldOut

    def __post_init__(self) -> None:
        if not (self.gain > 0 and np.isfinite(np.float32(self.gain)) and np.float32(self.gain) > 0):
            raise BadInputError(
                f"camera.gain: {self.gain:g} is not greater than 0; create the file with mde-bundle calibrate"
            )

    def check(self, bundle: Bundle, where: str) -> None:
        """Raise BadInputError where this is the calibration of another bundle, or of frames of another size."""
        source = bundle.contract.source
        if self.bundle_sha256 != bundle.sha256:
            raise BadInputError(
                f"{where}: calibrates another bundle ({self.bundle_sha256[:12]}), not {bundle.path} "
                f"({bundle.sha256[:12]}); calibrate this one: mde-bundle calibrate {bundle.path.name}"
            )
        if (self.height_px, self.width_px) != (source.height_px, source.width_px):
            raise BadInputError(
                f"{where}: is for frames of {self.height_px}x{self.width_px} px, {bundle.path} takes "
                f"{source.height_px}x{source.width_px} px; calibrate this one"
            )
        if self.gain * bundle.contract.from_network.far_m > MAX_FAR_M:
            raise BadInputError(f"{where}: a gain of {self.gain:g} gives depth beyond {MAX_FAR_M:g} m; calibrate again")


def read_calibration(path: Path, bundle: Bundle) -> Calibration:
    """The calibration of a bundle's camera. Raises BadInputError where it is none, or another bundle's."""
    try:
        content = read_small(path)
    except OSError as error:
        raise BadInputError(
            f"{path}: cannot be read ({error.strerror}); make it with mde-bundle calibrate {bundle.path.name}"
        ) from error
    found = records.from_json(Calibration, _known(records.parse(content, str(path)), path), str(path))
    found.check(bundle, str(path))
    return found


def _known(value: Any, path: Path) -> Any:  # Any: JSON that nobody has checked yet
    version = value.get("version") if isinstance(value, dict) else VERSION
    if isinstance(version, int) and version > VERSION:
        raise BadInputError(f"{path}: version {version}, this one reads {VERSION}; update mde-toolchain")
    return value
