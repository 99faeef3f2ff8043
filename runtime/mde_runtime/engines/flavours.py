"""The two TensorRT: the one of servers and Jetson boards, and TensorRT-RTX of desktop GPUs."""

import importlib
import importlib.util
from typing import Any, Literal

from mde_runtime import installation
from mde_runtime.errors import MachineError

Flavour = Literal["tensorrt", "tensorrt-rtx"]
MODULES: dict[Flavour, str] = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}
EXTRAS: dict[Flavour, str] = {"tensorrt": "tensorrt", "tensorrt-rtx": "rtx"}
WHERE: dict[Flavour, str] = {
    "tensorrt": "; on Jetson create the environment with --system-site-packages instead",
    "tensorrt-rtx": " (Linux and Windows)",
}


def library_of(flavour: Flavour) -> Any:  # Any: neither library publishes types
    """The Python module of a flavour. Raises MachineError with the remedy where it does not load."""
    try:
        return importlib.import_module(MODULES[flavour])
    except ImportError as error:
        raise MachineError(f"{flavour} cannot be loaded ({error}); {_remedy(flavour)}") from error


def first_here() -> Flavour:
    """The first flavour that is installed. Raises MachineError with the remedies where none is."""
    for flavour, module in MODULES.items():
        if importlib.util.find_spec(module) is not None:
            return flavour
    raise MachineError(f"no TensorRT is installed; {'; or '.join(map(_remedy, MODULES))}")


def _remedy(flavour: Flavour) -> str:
    return f"{installation.adding(EXTRAS[flavour])}{WHERE[flavour]}"


def version_of(flavour: Flavour) -> str:
    """The full version of the installed library."""
    return str(library_of(flavour).__version__)
