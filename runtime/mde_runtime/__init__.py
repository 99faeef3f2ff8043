"""Depth in metres from one RGB frame, on the device. Loads numpy and the standard library, nothing else."""

from typing import TYPE_CHECKING

from mde_runtime.errors import BadInputError, MachineError, MdeError, MeasurementError, UsageError, VerdictError

if TYPE_CHECKING:
    from mde_runtime.estimator import DepthEstimator

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
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> object:
    """Load the estimator when it is first asked for: every command imports this package, and `--help` needs no numpy.

    Source of the mechanism: PEP 562.
    """
    if name == "DepthEstimator":
        from mde_runtime.estimator import DepthEstimator

        return DepthEstimator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
