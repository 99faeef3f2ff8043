"""Where a graph is to run: the newest opset that is read there, what has no implementation, what must not be half."""

from collections.abc import Iterator
from dataclasses import dataclass

import onnx_ir as ir

from mde_runtime.certificate import Island
from mde_runtime.errors import BadInputError


@dataclass(frozen=True)
class Target:
    """A kind of device, and the library on it."""

    library: str
    newest_opset: int
    missing: frozenset[str] = frozenset()  # operators without an implementation there
    grouped_half: bool = True  # whether grouped and depthwise convolution works in half


TARGETS = {
    "jetpack6": Target("TensorRT 10.3", 20, frozenset({"Unique", "DeformConv"})),
    "jetpack7": Target("TensorRT 10.13 to 10.16", 22, frozenset({"Unique", "DeformConv"})),
    # 11.2.1 has no FP16 kernel for grouped convolution on some GPUs (NVIDIA/TensorRT issue 4838)
    "trt11": Target("TensorRT 11", 22, frozenset({"Unique", "DeformConv"}), grouped_half=False),
    "rtx": Target("TensorRT-RTX 1.4", 22, frozenset({"Unique", "DeformConv"})),
    "cpu": Target("onnxruntime 1.22 or OpenVINO 2025", 22),
}


def check_target(model: ir.Model, name: str) -> None:
    """Raises BadInputError for an opset or an operator that the target has not."""
    target = TARGETS[name]
    opset = model.opset_imports.get("", 1)
    if opset > target.newest_opset:
        raise BadInputError(
            f"opset {opset} is beyond {target.library}, which reads {target.newest_opset}; export lower"
        )
    for node in model.graph:
        if node.op_type in target.missing:
            raise BadInputError(f"{node.op_type} {node.name} has no implementation in {target.library}; replace it")


def kept_for(model: ir.Model, name: str | None) -> tuple[Island, ...]:
    """What stays FP32 in an FP16 graph because the target has no half kernel for it."""
    if name is None or TARGETS[name].grouped_half:
        return ()
    names = tuple(_grouped(model))
    reason = f"grouped convolution: {TARGETS[name].library} has no FP16 kernel on some GPUs"
    return (Island(names, reason, None),) if names else ()


def _grouped(model: ir.Model) -> Iterator[str]:
    for node in model.graph:
        is_convolution = node.op_type in ("Conv", "ConvTranspose")
        if is_convolution and "group" in node.attributes and node.attributes["group"].as_int() > 1 and node.name:
            yield node.name
