"""An ONNX file of any depth network: the file as it was brought is the reference."""

import itertools
from collections.abc import Iterable, Iterator
from functools import partial
from importlib.metadata import version
from pathlib import Path

import onnx

from mde_export.graph.canonical import refusing_damage
from mde_export.graph.load_onnx import load_onnx
from mde_export.request.contract_by_options import contract_of
from mde_export.request.presets import PRESETS
from mde_export.request.request import Request, Size
from mde_export.sources import Source
from mde_export.sources.first_node import first_node
from mde_export.sources.foreign import network_from_onnx
from mde_export.sources.widen import float_network
from mde_runtime import files

ONNX_DOMAIN = "ai.onnx"


def open_source(request: Request) -> Source:
    """Read the graph and fix its sizes. Raises UsageError where its contract is not given."""
    path = Path(request.model)
    proto = load_onnx(path)
    with refusing_damage(str(path)):
        _name_domain_plainly(proto)
        _check(proto)
        proto, is_widened = float_network(proto, str(path))
    contract, assumed = contract_of(request, _size_of(proto))
    network, original = network_from_onnx(proto, contract, _output_of(request), request.most_at_once > 1, str(path))
    name = f"{path.name} widened from FP16 to FP32" if is_widened else f"{path.name} as given"
    return Source(
        origin="onnx",
        model=path.stem,
        sha256=files.sha256_of_file(path),
        data_sha256=None,
        recipe=None,
        contract=contract,
        network=lambda: network,
        pictures=None,
        notes=tuple(assumed),
        reference=f"{name}, in {original.in_words}",
        depth_by=original.depth_by,
        tools={"onnxscript": version("onnxscript")},
        first_difference=partial(first_node, original, network, contract),
    )


def _output_of(request: Request) -> str | None:
    """Which output is the map, by --output or the preset."""
    preset = PRESETS[request.preset] if request.preset else None
    return request.output or (preset.output if preset else None)


def _name_domain_plainly(proto: onnx.ModelProto) -> None:
    """`ai.onnx`, the other name of ONNX's own domain -> the empty one, which checkers and converters look for."""
    for entry in itertools.chain(proto.opset_import, *(function.opset_import for function in proto.functions)):
        if entry.domain == ONNX_DOMAIN:
            entry.domain = ""
    for node in itertools.chain(_nodes(proto.graph.node), *(_nodes(function.node) for function in proto.functions)):
        if node.domain == ONNX_DOMAIN:
            node.domain = ""


def _nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for graph in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                yield from _nodes(graph.node)


def _check(proto: onnx.ModelProto) -> None:
    """As onnx's checker, but an input or output need not say its shape: it is seen when the file runs."""
    silent = [
        value.type.tensor_type
        for value in (*proto.graph.input, *proto.graph.output)
        if value.type.HasField("tensor_type") and not value.type.tensor_type.HasField("shape")
    ]
    for kind in silent:
        kind.shape.SetInParent()
    onnx.checker.check_model(proto)
    for kind in silent:
        kind.ClearField("shape")


def _size_of(proto: onnx.ModelProto) -> Size | None:
    """Height and width of the only image input; None where the graph leaves them open."""
    weights = {tensor.name for tensor in proto.graph.initializer}
    images = [value for value in proto.graph.input if value.name not in weights]
    sides = [side.dim_value for side in images[0].type.tensor_type.shape.dim] if len(images) == 1 else []
    if len(sides) != 4:
        return None
    height, width = sides[1:3] if sides[3] == 3 and sides[1] != 3 else sides[2:]
    return (height, width) if min(height, width) > 0 else None
