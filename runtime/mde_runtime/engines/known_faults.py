"""Versions of TensorRT that users report to compile depth networks into wrong depth, and what helps.

From public threads: NVIDIA/TensorRT issues 4419, 4723, 4748, 4813 and 4838, ika-rwth-aachen/ros2-depth-anything-v3-trt
16, spacewalk01/depth-anything-tensorrt 49, NVlabs/FoundationStereo 105, lpiccinelli-eth/UniDepth 135,
rerun-io/examples-monorepo 87. Not seen here.
"""

from dataclasses import dataclass

from mde_runtime.engines.flavours import Flavour


@dataclass(frozen=True)
class KnownFault:
    """Versions, by their first two numbers, with a reported fault and its way round."""

    versions: tuple[str, ...]
    fault: str
    remedy: str


KNOWN_FAULTS: dict[Flavour, tuple[KnownFault, ...]] = {
    "tensorrt": (
        KnownFault(
            ("10.3", "10.4"),
            "is reported to compile some transformer depth networks into wrong depth, even in FP32",
            "trust only verified engines; use a convolutional network, or JetPack 7, whose TensorRT 10.13 "
            "and later are reported to be right",
        ),
        KnownFault(
            ("10.7",),
            "is reported to compile a transformer depth network (UniDepth) into wrong depth",
            "trust only verified engines; use TensorRT 10.13, which is reported to be right",
        ),
        KnownFault(
            ("10.16",),
            "is reported to give NaN from a depth network in FP16",
            "trust only verified engines; where FP16 fails, use --precision fp32, or TensorRT 10.13",
        ),
        KnownFault(
            ("11.1", "11.2"),
            "is reported to give wrong depth from some transformers in every precision, and to lack grouped "
            "convolution in FP16",
            "trust only verified engines; use TensorRT 10.13, or export with --target trt11",
        ),
    ),
    "tensorrt-rtx": (),
}


def known_fault(flavour: Flavour, version: str) -> KnownFault | None:
    """The reported fault of a library's version, e.g. 10.3.0.30; None where none is known."""
    shortened = ".".join(version.split(".")[:2])
    return next((fault for fault in KNOWN_FAULTS[flavour] if shortened in fault.versions), None)
