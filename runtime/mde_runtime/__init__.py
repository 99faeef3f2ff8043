"""Depth in metres from one RGB frame, on the device. Loads numpy and the standard library, nothing else."""

import importlib
from typing import TYPE_CHECKING

from mde_runtime.errors import BadInputError, MachineError, MdeError, MeasurementError, UsageError, VerdictError

if TYPE_CHECKING:
    from mde_runtime.bundle import read_bundle
    from mde_runtime.estimator import DepthEstimator
    from mde_runtime.notebook import depth_picture

__version__ = "0.1.0"
__all__ = [
    "BadInputError",
    "DepthEstimator",
    "MachineError",
    "MdeError",
    "MeasurementError",
    "UsageError",
    "VerdictError",
    "__version__",
    "depth_picture",
    "read_bundle",
]

# Loaded when they are first asked for: every command imports this package, and `--help` needs no numpy. PEP 562.
_LATER = {
    "DepthEstimator": "mde_runtime.estimator",
    "depth_picture": "mde_runtime.notebook",
    "read_bundle": "mde_runtime.bundle",
}


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> object:
    if name in _LATER:
        return getattr(importlib.import_module(_LATER[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
