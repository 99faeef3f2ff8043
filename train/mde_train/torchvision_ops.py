"""Import torchvision where its compiled operators do not load.

torchvision's wheels on the public index are CUDA builds: beside a CPU build of torch their `_C` library does not load,
and `import torchvision`, and with it lightning and torchmetrics, ends in "operator torchvision::nms does not exist"
(seen with torchvision 0.27 to 0.29). Declaring the schemas of the two operators that torchvision registers fake kernels
for lets the import pass; the operators themselves stay unusable, and nothing here uses them.
This file can go when an import beside a CPU build of torch passes by itself.
"""

import sys
from types import ModuleType

from mde_runtime import installation
from mde_runtime.errors import MachineError

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_declared: list[object] = []  # a torch.library.Library takes its operators with it when it is collected


def import_torchvision() -> ModuleType:
    """Import torchvision, repairing the import where, and only where, it fails. Call before importing lightning."""
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise MachineError(f"torchvision cannot be imported ({error}); install the build for this torch") from error
        _declare_operators()
        import torchvision
    except ImportError as error:
        raise MachineError(f"torchvision is missing ({error}); install it: {installation.adding('train')}") from error
    return torchvision  # type: ignore[no-any-return]  # torchvision publishes no types


def _declare_operators() -> None:
    import torch

    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]  # what the failed import left behind
    library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]  # torch's own
    for operator in ("nms", "qnms"):
        library.define(operator + _SCHEMA)  # type: ignore[no-untyped-call]  # torch's own
    _declared.append(library)
