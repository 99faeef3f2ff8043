"""An ONNX file of any depth network: the file as it was brought is the reference."""

from importlib.metadata import version
from pathlib import Path

import onnx

from mde_export.graph.canonical import refusing_damage
from mde_export.graph.load_onnx import load_onnx
from mde_export.request import Request, Size, contract_of
from mde_export.sources import Source
from mde_export.sources.foreign import network_from_onnx
from mde_export.sources.widen import float_network
from mde_runtime import files


def open_source(request: Request) -> Source:
    """Read the graph and fix its sizes. Raises UsageError where its contract is not given."""
    path = Path(request.model)
    proto = load_onnx(path)
    with refusing_damage(str(path)):
        onnx.checker.check_model(proto)
        proto, is_widened = float_network(proto, str(path))
    contract = contract_of(request, _size_of(proto))
    network, original = network_from_onnx(proto, contract, request.output, request.most_at_once > 1, str(path))
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
        reference=f"{name}, in {original.in_words}",
        depth_by=original.depth_by,
        tools={"onnxscript": version("onnxscript")},
    )


def _size_of(proto: onnx.ModelProto) -> Size | None:
    """Height and width of the only image input; None where the graph leaves them open."""
    weights = {tensor.name for tensor in proto.graph.initializer}
    images = [value for value in proto.graph.input if value.name not in weights]
    sides = [side.dim_value for side in images[0].type.tensor_type.shape.dim] if len(images) == 1 else []
    return (sides[2], sides[3]) if len(sides) == 4 and min(sides[2:]) > 0 else None
