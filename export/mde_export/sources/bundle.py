"""A bundle as the source: other precisions, another size of the camera's frame, another scale and shift. No torch."""

from dataclasses import replace
from pathlib import Path

import onnx

from mde_export.graph.canonical import from_bytes, refusing_damage, stripped, to_bytes
from mde_export.graph.graft import graft, ungraft
from mde_export.judge.evidence import Pictures
from mde_export.judge.execute import LITERALLY, Executor
from mde_export.request.request import Request, Size
from mde_export.sources import Source
from mde_runtime.bundle import read_bundle
from mde_runtime.contract import Contract, Intrinsics, Sides
from mde_runtime.errors import UsageError


def open_source(request: Request) -> Source:
    """Take the FP32 network out of its stages, and put it into those of the new contract: that is the reference."""
    bundle = read_bundle(Path(request.model))
    graph, certificate = bundle.graph("fp32"), bundle.certificate("fp32")
    with refusing_damage(f"{bundle.path}: its FP32 graph"):
        onnx.checker.check_model(graph)
        network = ungraft(stripped(from_bytes(graph)))
    contract = bundle.contract
    if request.source_size is not None:
        contract = at_source_size(contract, request.source_size)
    golden, provenance = bundle.golden(), bundle.manifest.provenance
    is_same_work = request.source_size is None and not set(request.precisions) - set(bundle.precisions)
    if is_same_work and all(
        asked is None for asked in (request.scale, request.shift, request.measured, request.focal_px)
    ):
        raise UsageError(
            f"{bundle.path}: nothing to change; pass --fp16, --int8, --source-size, --scale, --shift, --measured or "
            "--focal-px"
        )
    return Source(
        origin="bundle",
        model=provenance.model,
        sha256=provenance.source_sha256,
        data_sha256=provenance.data_sha256,
        recipe=provenance.recipe,
        contract=contract,
        network=lambda: network,
        pictures=Pictures(golden.frames, None, "bundle's golden frames", len(golden.frames)) if is_same_work else None,
        reference=f"the FP32 graph of {bundle.path.name}, in {LITERALLY}",
        depth_by=lambda asked: (
            Executor(graph if asked == bundle.contract else to_bytes(graft(network, asked)), literal=True).depth
        ),
        tools=provenance.tools,
        publication=provenance.publication,
        rendered=provenance.rendered,
        precisions=tuple(precision for precision in bundle.precisions if precision != "fp32"),
        derived_from=certificate.derived_from or certificate.parity,
    )


def at_source_size(contract: Contract, size: Size) -> Contract:
    """The contract for frames of another size; the network's own input stays as it is.

    What is padded around the frame grows with it, or the network would see its contents at another size. A frame that
    was only padded is scaled to fit (letterbox) unless it still fits as it is: the network's input cannot grow with it.
    """
    height_px, width_px = size
    source = replace(contract.source, height_px=height_px, width_px=width_px)
    to_network = replace(contract.to_network, pad_px=_scaled_padding(contract, size))
    if to_network.resize == "pad":
        top, left, bottom, right = to_network.pad_px
        fits = all(
            side <= inside < side + to_network.multiple_of_px
            for side, inside in (
                (height_px + top + bottom, to_network.height_px),
                (width_px + left + right, to_network.width_px),
            )
        )
        to_network = to_network if fits else replace(to_network, resize="letterbox")
    intrinsics = contract.intrinsics and _scaled(contract.intrinsics, contract, size)
    resized = replace(contract, source=source, to_network=to_network, intrinsics=intrinsics)
    if contract.from_network.canonical_focal_px is None:
        return resized
    # It is one of the network's input, said at the frame's size.
    focal_px = contract.from_network.canonical_focal_px * _enlarged(contract) / _enlarged(resized)
    return replace(resized, from_network=replace(contract.from_network, canonical_focal_px=focal_px))


def _scaled_padding(contract: Contract, size: Size) -> Sides:
    down, across = size[0] / contract.source.height_px, size[1] / contract.source.width_px
    top, left, bottom, right = contract.to_network.pad_px
    return round(top * down), round(left * across), round(bottom * down), round(right * across)


def _enlarged(contract: Contract) -> float:
    """How much larger a frame is inside the network: the mean of both axes, which differ where it is stretched."""
    placement, (height_px, width_px) = contract.placement, contract.padded_size
    return (placement.height_px / height_px + placement.width_px / width_px) / 2


def _scaled(camera: Intrinsics, contract: Contract, size: Size) -> Intrinsics:
    down, across = size[0] / contract.source.height_px, size[1] / contract.source.width_px
    return Intrinsics(
        fx_px=camera.fx_px * across,
        fy_px=camera.fy_px * down,
        cx_px=(camera.cx_px + 0.5) * across - 0.5,  # pixel centres are at whole numbers
        cy_px=(camera.cy_px + 0.5) * down - 0.5,
    )
