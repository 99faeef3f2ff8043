"""The stages around a network, in ONNX: from the camera's frame to depth in metres at the frame's size.

The twin of `mde_train.depth_model`; a property test holds the two together. The order, and why:
cast first (TensorRT takes uint8 only where the first operator is a cast), layout and colour, resize, normalise, place
(padding is 0 to the network, as a convolution's own), the network, scale and shift in the network's own quantity, the
count of non-finite values (before anything could hide one), its kind to metres, back to the frame's size, clip last.
Nodes of the stages are named `to_network/...` and `from_network/...`; the rest is the network.
Shapes: N frames; H, W the frame's size; h, w the network's input or map; C colours.
"""

from collections.abc import Iterable

import numpy as np
import onnx_ir as ir

from mde_export.canonical import IR_VERSION, OPSET
from mde_export.geometry import Size, cut, pad, resize
from mde_export.ops import Ops
from mde_runtime.contract import Contract, FromNetwork
from mde_runtime.errors import BadInputError

FRAME, DEPTH, NUM_NONFINITE, QUANTITY = "frame", "depth_m", "num_nonfinite", "quantity"
PIXELS, MAP = "pixels", "map"  # between the stages, where they stand alone
TO_NETWORK, FROM_NETWORK = "to_network", "from_network"


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
    wanted = contract.to_network
    model = _nothing("image", PIXELS, (1, 3, wanted.height_px, wanted.width_px))
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


def _nothing(takes: str, gives: str, shape: tuple[int, ...]) -> ir.Model:
    """A network that gives what it takes."""
    image = ir.val(takes, ir.DataType.FLOAT, shape)
    node = ir.node("Identity", [image], name="nothing")
    node.outputs[0].name, node.outputs[0].type, node.outputs[0].shape = gives, image.type, image.shape
    graph = ir.Graph([image], node.outputs, nodes=[node], opset_imports={"": OPSET}, name="stages")
    return ir.Model(graph, ir_version=IR_VERSION)


def _graft_after(graph: ir.Graph, batch: int | str, map_size: Size, contract: Contract) -> None:
    after = Ops(FROM_NETWORK)
    quantity = scale_and_shift(after, _as_map(after, graph.outputs[0]), contract.from_network)
    num_nonfinite = count_nonfinite(after, quantity, map_size)
    depth = to_metres(after, quantity, contract.from_network)
    depth = to_source_size(after, depth, map_size, contract)
    depth = clip(after, depth, contract.from_network)
    depth = blank_unseen(after, depth, contract)
    depth = after("Squeeze", [depth, after.int64s([1], "map_axis")], "squeeze")
    _append(
        graph,
        after,
        (depth, DEPTH, ir.DataType.FLOAT, [batch, contract.source.height_px, contract.source.width_px]),
        (num_nonfinite, NUM_NONFINITE, ir.DataType.INT32, [batch]),
    )


def check_metric(contract: Contract) -> None:
    """Raises BadInputError when depth cannot be metric."""
    if not contract.from_network.is_metric:
        raise BadInputError(
            "this network gives relative depth without a scale; fit scale and shift to measured distances first: "
            "mde-export MODEL --measured FILE"
        )


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
        raise BadInputError("the graph has not the stages of mde-export around one network; export the model again")
    (pixels,), (quantity,) = given, taken
    image = ir.Value(name=pixels.name, type=pixels.type, shape=pixels.shape)
    ir.convenience.replace_all_uses_with(pixels, image)
    graph.inputs[:], graph.outputs[:] = [image], [quantity]
    graph.remove([*before, *after], safe=True)
    for name in [name for name in graph.initializers if is_stage(name)]:
        del graph.initializers[name]
    return model


def is_stage(name: str | None) -> bool:
    """Whether a node of this name is a stage, and not the network's."""
    return name is not None and name.startswith((f"{TO_NETWORK}/", f"{FROM_NETWORK}/"))


def cast(ops: Ops, frame: ir.Value, _: Contract) -> ir.Value:
    """uint8 to float32, 0 to 255."""
    return ops("Cast", [frame], "cast", {"to": int(ir.DataType.FLOAT)})


def to_colour_planes(ops: Ops, pixels_NHWC: ir.Value, contract: Contract) -> ir.Value:  # noqa: N803  # shape suffix
    """(N, H, W, C) in the camera's order to (N, C, H, W) in red, green, blue."""
    planes = ops("Transpose", [pixels_NHWC], "transpose", {"perm": [0, 3, 1, 2]})
    if contract.source.colour == "rgb":
        return planes
    return ops("Gather", [planes, ops.int64s([2, 1, 0], "rgb_of_bgr")], "swap_red_and_blue", {"axis": 1})


def resize_to_network(ops: Ops, pixels: ir.Value, contract: Contract) -> ir.Value:
    """The frame to the size at which it lies in the network's input."""
    source, wanted, placed = contract.source, contract.to_network, contract.placement
    size_in, size_out = (source.height_px, source.width_px), (placed.height_px, placed.width_px)
    return resize(ops, pixels, size_in, size_out, wanted.interpolation, wanted.antialias, "resize")


def normalise(ops: Ops, pixels: ir.Value, contract: Contract) -> ir.Value:
    """(pixel * scale - mean) / std, as one multiplication and, where there is a mean, one addition."""
    wanted = contract.to_network
    std = np.array(wanted.std)
    factor = (wanted.scale / std).reshape(1, 3, 1, 1).astype(np.float32)
    normal = ops("Mul", [pixels, ops.constant(factor, "factor")], "scale")
    if not any(wanted.mean):
        return normal
    offset = (-np.array(wanted.mean) / std).reshape(1, 3, 1, 1).astype(np.float32)
    return ops("Add", [normal, ops.constant(offset, "offset")], "subtract_mean")


def place(ops: Ops, pixels: ir.Value, contract: Contract) -> ir.Value:
    """Put the frame where it lies in the network's input: zeros around it, or what juts out cut off."""
    wanted, placed = contract.to_network, contract.placement
    rows = (placed.top_px, wanted.height_px - placed.height_px - placed.top_px)
    columns = (placed.left_px, wanted.width_px - placed.width_px - placed.left_px)
    inside = cut(ops, pixels, (placed.height_px, placed.width_px), rows, columns, "cut")
    return pad(ops, inside, rows, columns, "constant", "pad")


def scale_and_shift(ops: Ops, quantity: ir.Value, wanted: FromNetwork) -> ir.Value:
    """Calibrate the network's own quantity."""
    if wanted.scale != 1.0:
        quantity = ops("Mul", [quantity, ops.floats(wanted.scale, "scale")], "calibrate_scale")
    if wanted.shift != 0.0:
        quantity = ops("Add", [quantity, ops.floats(wanted.shift, "shift")], "calibrate_shift")
    return quantity


def count_nonfinite(ops: Ops, quantity: ir.Value, map_size: Size) -> ir.Value:
    """How many values of each frame's map are NaN or Inf, int32 (N,).

    All of them less those with |q| <= the largest float32. No compiler can drop that comparison as always true, as it
    may with IsNaN or x == x where it assumes finite numbers, and a NaN compares false in every runtime.
    """
    magnitude = ops("Abs", [quantity], "magnitude")
    largest = ops.floats(float(np.finfo(np.float32).max), "largest_float32")
    is_finite = ops("LessOrEqual", [magnitude, largest], "is_finite")
    as_number = ops("Cast", [is_finite], "finite_as_number", {"to": int(ir.DataType.INT32)})
    axes = ops.int64s([1, 2, 3], "all_but_frames")
    num_finite = ops("ReduceSum", [as_number, axes], "num_finite", {"keepdims": 0})
    total = ops.constant(np.int32(map_size[0] * map_size[1]), "num_values")
    return ops("Sub", [total, num_finite], "num_nonfinite")


def to_metres(ops: Ops, quantity: ir.Value, wanted: FromNetwork) -> ir.Value:
    """The calibrated quantity to metres. Inverse depth is held at 1 / far or more: at 0 it is beyond every range."""
    if wanted.kind == "metric_depth":
        return quantity
    held = ops("Max", [quantity, ops.floats(1.0 / wanted.far_m, "least_inverse_depth")], "hold_inverse_depth")
    return ops("Reciprocal", [held], "invert")


def to_source_size(ops: Ops, depth: ir.Value, map_size: Size, contract: Contract) -> ir.Value:
    """The map to the frame's own size.

    First to the size of the part of the network's input that it covers, then cut to the frame (where the frame goes on
    beyond the map, its border value goes on), then to the frame's size. Steps that change nothing are left out: where
    the frame was only padded, a cut is all that remains.
    """
    source, wanted, placed = contract.source, contract.from_network, contract.placement
    top, left, bottom, right = wanted.covers
    covered = (bottom - top, right - left)
    depth = resize(ops, depth, map_size, covered, wanted.interpolation, wanted.antialias, "resize_to_input")
    rows = (top - placed.top_px, placed.top_px + placed.height_px - bottom)
    columns = (left - placed.left_px, placed.left_px + placed.width_px - right)
    depth = cut(ops, depth, covered, rows, columns, "cut_to_frame")
    depth = pad(ops, depth, rows, columns, "edge", "go_on_to_frame")
    size_in, size_out = (placed.height_px, placed.width_px), (source.height_px, source.width_px)
    return resize(ops, depth, size_in, size_out, wanted.interpolation, wanted.antialias, "resize_to_frame")


def clip(ops: Ops, depth: ir.Value, wanted: FromNetwork) -> ir.Value:
    """Hold depth in the contract's range, metres. After the count, which it would hide values from."""
    near, far = ops.floats(wanted.near_m, "near_m"), ops.floats(wanted.far_m, "far_m")
    return ops("Clip", [depth, near, far], "clip")


def blank_unseen(ops: Ops, depth: ir.Value, contract: Contract) -> ir.Value:
    """0, no measurement, where the map does not cover the centre of the frame's pixel."""
    (above, below), (left, right) = rows, columns = unseen_sides(contract)
    size = (contract.source.height_px, contract.source.width_px)
    depth = cut(ops, depth, size, (-above, -below), (-left, -right), "cut_unseen")
    return pad(ops, depth, rows, columns, "constant", "blank_unseen")


def unseen_sides(contract: Contract) -> tuple[Size, Size]:
    """How many of the frame's rows (top, bottom) and columns (left, right) the map does not cover."""
    rows, columns = contract.seen
    return (rows.start, contract.source.height_px - rows.stop), (columns.start, contract.source.width_px - columns.stop)


def _check_network(graph: ir.Graph, contract: Contract) -> tuple[int | str, Size]:
    """The batch and the size of the map. Raises BadInputError that says what the network has and what it should."""
    wanted = contract.to_network
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise BadInputError(
            f"the network has {len(graph.inputs)} inputs and {len(graph.outputs)} outputs; it should have one of each"
        )
    takes, gives = (_dims(value) for value in (graph.inputs[0], graph.outputs[0]))
    if takes[1:] != (3, wanted.height_px, wanted.width_px):
        raise BadInputError(
            f"the network takes {takes}, the contract says (N, 3, {wanted.height_px}, {wanted.width_px}); "
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


def _is_of_stages(value: ir.Value) -> bool:
    producer = value.producer()
    return is_stage(value.name if producer is None else producer.name)


def _dims(value: ir.Value) -> tuple[int | str | None, ...]:
    if value.shape is None:
        return ()
    return tuple(dim if isinstance(dim, int) else dim.value for dim in value.shape.dims)


def _as_map(ops: Ops, output: ir.Value) -> ir.Value:
    if len(_dims(output)) == 4:
        return output
    return ops("Unsqueeze", [output, ops.int64s([1], "channel_axis")], "unsqueeze")


def _graft_before(graph: ir.Graph, batch: int | str, contract: Contract) -> None:
    source, ops = contract.source, Ops(TO_NETWORK)
    frame = pixels = ir.val(FRAME, ir.DataType.UINT8, [batch, source.height_px, source.width_px, 3])
    for stage in (cast, to_colour_planes, resize_to_network, normalise, place):
        pixels = stage(ops, pixels, contract)
    (network_input,) = graph.inputs
    pixels.type, pixels.shape = network_input.type, network_input.shape
    ir.convenience.replace_all_uses_with(network_input, pixels)
    graph.insert_before(graph[0], ops.nodes)
    ops.register_initializers(graph)
    graph.inputs[:] = [frame]


def _append(graph: ir.Graph, ops: Ops, *outputs: tuple[ir.Value, str, ir.DataType, Iterable[int | str]]) -> None:
    graph.extend(ops.nodes)
    ops.register_initializers(graph)
    for value, name, dtype, shape in outputs:
        value.name, value.type, value.shape = name, ir.TensorType(dtype), ir.Shape(shape)
    graph.outputs[:] = [value for value, *_ in outputs]
