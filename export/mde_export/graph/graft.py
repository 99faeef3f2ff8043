"""Stages around a network: grafted onto its graph, taken off again, or alone, for a network that runs elsewhere."""

from collections.abc import Iterable

import onnx_ir as ir

from mde_export.graph.canonical import IR_VERSION, OPSET
from mde_export.graph.geometry import Size
from mde_export.graph.ops import Ops
from mde_export.graph.stages import (
    DEPTH,
    FRAME,
    FROM_NETWORK,
    MAP,
    NUM_NONFINITE,
    PIXELS,
    QUANTITY,
    TO_NETWORK,
    before_network,
    blank_unseen,
    check_metric,
    clip,
    count_nonfinite,
    is_stage,
    scale_and_shift,
    to_metres,
    to_source_size,
)
from mde_runtime.contract import Contract, FromNetwork
from mde_runtime.errors import BadInputError


def graft(network: ir.Model, contract: Contract) -> ir.Model:
    """The network with its stages: `frame` uint8 (N, H, W, 3) in, `depth_m` and `num_nonfinite` out.

    Raises BadInputError when the network's input or output do not fit the contract, or depth cannot be metric.
    """
    check_metric(contract)
    model = network.clone()
    batch, map_size = _check_network(model.graph, contract)
    _graft_before(model.graph, batch, contract)
    _graft_after(model.graph, batch, map_size, contract)
    return model


def stages_before(contract: Contract) -> ir.Model:
    """The stages that come before a network, alone: `frame` in, `pixels` float32 (1, 3, h, w) out."""
    to_network = contract.to_network
    model = _nothing("image", PIXELS, (1, 3, to_network.height_px, to_network.width_px))
    _graft_before(model.graph, 1, contract)
    return model


def stages_after(contract: Contract, map_shape: tuple[int, ...]) -> ir.Model:
    """The stages that come after a network, alone: `map` of that shape in, `depth_m` and `num_nonfinite` out.

    Raises BadInputError when the shape is not one map a frame, or depth cannot be metric.
    """
    check_metric(contract)
    model = _nothing(MAP, "map_out", map_shape)
    _graft_after(model.graph, 1, _map_size(map_shape), contract)
    return model


def graft_quantity(network: ir.Model, contract: Contract) -> ir.Model:
    """The network with its stages up to its own quantity, at the frame's size and before scale and shift.

    `frame` in, `quantity` float32 (N, H, W) out: what scale and shift are fitted on.
    """
    model = network.clone()
    graph = model.graph
    batch, map_size = _check_network(graph, contract)
    _graft_before(graph, batch, contract)
    after = Ops(FROM_NETWORK)
    quantity = to_source_size(after, _as_map(after, graph.outputs[0]), map_size, contract)
    quantity = after("Squeeze", [quantity, after.int64s([1], "map_axis")], "squeeze")
    size = (contract.source.height_px, contract.source.width_px)
    _append(graph, after, (quantity, QUANTITY, ir.DataType.FLOAT, [batch, *size]))
    return model


def ungraft(model: ir.Model) -> ir.Model:
    """The network without the stages that `graft` put around it."""
    model = model.clone()
    graph = model.graph
    before = [node for node in graph if node.name and node.name.startswith(f"{TO_NETWORK}/")]
    after = [node for node in graph if node.name and node.name.startswith(f"{FROM_NETWORK}/")]
    given = {
        value for node in before for value in node.outputs if not all(is_stage(use.name) for use in value.consumers())
    }
    taken = {value for node in after for value in node.inputs if value is not None and not _is_of_stages(value)}
    if len(given) != 1 or len(taken) != 1:
        raise BadInputError("the graph does not have mde-export's stages around one network; export the model again")
    (pixels,), (quantity,) = given, taken
    image = ir.Value(name=pixels.name, type=pixels.type, shape=pixels.shape)
    ir.convenience.replace_all_uses_with(pixels, image)
    graph.inputs[:], graph.outputs[:] = [image], [quantity]
    graph.remove([*before, *after], safe=True)
    for name in [name for name in graph.initializers if is_stage(name)]:
        del graph.initializers[name]
    return model


def stages_to_metres(from_network: FromNetwork) -> ir.Model:
    """The stages from the calibrated quantity to clipped metres, alone: `map` (1, 1, 1, N) in, `depth_m` out, any N."""
    model = _nothing(MAP, "map_out", (1, 1, 1, "N"))
    ops = Ops(FROM_NETWORK)
    depth = clip(ops, to_metres(ops, model.graph.outputs[0], from_network), from_network)
    _append(model.graph, ops, (depth, DEPTH, ir.DataType.FLOAT, [1, 1, 1, "N"]))
    return model


def _nothing(takes: str, gives: str, shape: tuple[int | str, ...]) -> ir.Model:
    """A network that gives what it takes."""
    image = ir.val(takes, ir.DataType.FLOAT, shape)
    node = ir.node("Identity", [image], name="nothing")
    node.outputs[0].name, node.outputs[0].type, node.outputs[0].shape = gives, image.type, image.shape
    graph = ir.Graph([image], node.outputs, nodes=[node], opset_imports={"": OPSET}, name="stages")
    return ir.Model(graph, ir_version=IR_VERSION)


def _graft_before(graph: ir.Graph, batch: int | str, contract: Contract) -> None:
    source, ops = contract.source, Ops(TO_NETWORK)
    frame = pixels = ir.val(FRAME, ir.DataType.UINT8, [batch, source.height_px, source.width_px, 3])
    for stage in before_network(contract):
        pixels = stage(ops, pixels, contract)
    (network_input,) = graph.inputs
    pixels.type, pixels.shape = network_input.type, network_input.shape
    ir.convenience.replace_all_uses_with(network_input, pixels)
    graph.insert_before(graph[0], ops.nodes)
    ops.register_initializers(graph)
    graph.inputs[:] = [frame]


def _graft_after(graph: ir.Graph, batch: int | str, map_size: Size, contract: Contract) -> None:
    after = Ops(FROM_NETWORK)
    quantity = scale_and_shift(after, _as_map(after, graph.outputs[0]), contract.from_network)
    num_nonfinite = count_nonfinite(after, quantity, map_size)
    if contract.from_network.inversion == "before_resize":
        depth = to_metres(after, quantity, contract.from_network)
        depth = to_source_size(after, depth, map_size, contract)
    else:
        quantity = to_source_size(after, quantity, map_size, contract)
        depth = to_metres(after, quantity, contract.from_network)
    depth = clip(after, depth, contract.from_network)
    depth = blank_unseen(after, depth, contract)
    depth = after("Squeeze", [depth, after.int64s([1], "map_axis")], "squeeze")
    _append(
        graph,
        after,
        (depth, DEPTH, ir.DataType.FLOAT, [batch, contract.source.height_px, contract.source.width_px]),
        (num_nonfinite, NUM_NONFINITE, ir.DataType.INT32, [batch]),
    )


def _check_network(graph: ir.Graph, contract: Contract) -> tuple[int | str, Size]:
    """The batch and the size of the map. Raises BadInputError that says what the network has and what it should."""
    to_network = contract.to_network
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise BadInputError(
            f"the network has {len(graph.inputs)} inputs and {len(graph.outputs)} outputs; it should have one of each"
        )
    takes, gives = (_dims(value) for value in (graph.inputs[0], graph.outputs[0]))
    if takes[1:] != (3, to_network.height_px, to_network.width_px):
        raise BadInputError(
            f"the network takes {takes}, the contract says (N, 3, {to_network.height_px}, {to_network.width_px}); "
            "change the contract"
        )
    batch = takes[0]
    return (batch if batch is not None else "N"), _map_size(gives)


def _map_size(shape: tuple[int | str | None, ...]) -> Size:
    """Height and width of a map. Raises BadInputError for a shape that is not one map a frame."""
    num_batch_axes = 2 if len(shape) == 4 else 1
    height, width = shape[-2:] if len(shape) in (3, 4) else (None, None)
    if shape[1:num_batch_axes] not in ((), (1,)) or not isinstance(height, int) or not isinstance(width, int):
        raise BadInputError(
            f"the network gives {shape}, not one map a frame: (N, 1, h, w) or (N, h, w); "
            "export it with that output alone"
        )
    return height, width


def _as_map(ops: Ops, output: ir.Value) -> ir.Value:
    if len(_dims(output)) == 4:
        return output
    return ops("Unsqueeze", [output, ops.int64s([1], "channel_axis")], "unsqueeze")


def _append(graph: ir.Graph, ops: Ops, *outputs: tuple[ir.Value, str, ir.DataType, Iterable[int | str]]) -> None:
    graph.extend(ops.nodes)
    ops.register_initializers(graph)
    for value, name, dtype, shape in outputs:
        value.name, value.type, value.shape = name, ir.TensorType(dtype), ir.Shape(shape)
    graph.outputs[:] = [value for value, *_ in outputs]


def _dims(value: ir.Value) -> tuple[int | str | None, ...]:
    if value.shape is None:
        return ()
    return tuple(dim if isinstance(dim, int) else dim.value for dim in value.shape.dims)


def _is_of_stages(value: ir.Value) -> bool:
    producer = value.producer()
    return is_stage(value.name if producer is None else producer.name)
