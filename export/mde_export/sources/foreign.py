"""Any depth network's ONNX graph to the form that stages go around: one image in, one map out, every size fixed."""

from collections.abc import Callable, Iterator

import numpy as np
import onnx
import onnx_ir as ir
import onnxscript.optimizer
from onnx_ir.passes import common

from mde_export.graph.canonical import FROM_DAMAGED_GRAPHS, refusing_damage, to_bytes
from mde_export.graph.graft import stages_before
from mde_export.graph.stages import FRAME, PIXELS
from mde_export.judge.execute import Executor
from mde_export.judge.extremes import extreme_frames
from mde_export.sources.image_input import image_input_of, plain_input
from mde_export.sources.map_shape import name_and_channel
from mde_export.sources.opsets import to_readable_opset, write_default_axes
from mde_export.sources.original import Map, OnnxOriginal, Pixels, plain_output
from mde_export.sources.random_nodes import refuse_random
from mde_export.sources.stage_names import rename_like_stages
from mde_export.sources.training_norm import fold_constant_norms
from mde_runtime.contract import Contract, ToNetwork
from mde_runtime.errors import BadInputError

SAME = 1e-3  # of a map's largest value: a hundred times what another order of additions does in FP32


def network_from_onnx(
    proto: onnx.ModelProto, contract: Contract, output: str | None, is_batch_open: bool, where: str
) -> tuple[ir.Model, OnnxOriginal]:
    """The graph with the contract's input size, one map, and nothing but standard operators of a readable opset.

    Beside it the file as it was brought: what the graph has to be like. output: which output is the map, by name or
    index, where there are several. Raises BadInputError that names the flag that would help.
    """
    to_network = contract.to_network
    with refusing_damage(where):
        model = ir.serde.deserialize_model(proto)
        common.RemoveInitializersFromInputsPass()(model)
        channel = _keep_one_output(model, output, where)
        refuse_random(model, where)
        image = image_input_of(model, to_network, is_batch_open, where)
        name = str(model.graph.outputs[0].name)
        size = (to_network.height_px, to_network.width_px)
        original = OnnxOriginal(proto, image, name, channel, size, is_batch_open, where)
        _check_map_follows(original, to_network, image.is_open)
        model = to_readable_opset(model, where)
        common.InlinePass()(model)
        write_default_axes(model)
        rename_like_stages(model)
        fold_constant_norms(model)
        plain_input(model, image, to_network, is_batch_open)
        plain_output(model, original)
        return _faithful(model, original, contract), original


def _faithful(model: ir.Model, original: OnnxOriginal, contract: Contract) -> ir.Model:
    """The most optimised form of the graph that gives the original's maps of extreme frames; see `_forms`.

    Where none does it is the most optimised one that runs at all, and the certificate says how far off it is.
    """
    before = Executor(to_bytes(stages_before(contract)), literal=True)
    images = [before.run({FRAME: frame[None]})[PIXELS] for frame in extreme_frames(contract)]
    right = [original.map_of(image) for image in images]
    runs, failure = None, None
    for form in _forms(model):
        try:
            network = form()
            _fix_output(network, right[0].shape)
            is_same = _gives(network, images, right)
        except (*FROM_DAMAGED_GRAPHS, BadInputError) as error:
            failure = error
            continue
        if is_same:
            return network
        runs = runs or network
    if (num_frames := original.image.num_frames) > 1:
        raise BadInputError(
            f"{original.where}: takes {num_frames} frames at a time, and that number is baked in; export it "
            "for one frame, or with an open batch"
        ) from failure
    if runs is None:
        assert failure is not None
        raise failure
    return runs


def _forms(model: ir.Model) -> Iterator[Callable[[], ir.Model]]:
    """Ways to write the same graph, the best first. Optimisers break valid graphs now and then, and say nothing."""
    yield lambda: onnxscript.optimizer.optimize(model.clone())  # folds the arithmetic on sizes, and BatchNorm
    yield lambda: _with_constants_folded(model.clone())
    yield model.clone


def _with_constants_folded(model: ir.Model) -> ir.Model:
    onnxscript.optimizer.fold_constants(model)
    common.RemoveUnusedNodesPass()(model)
    return model


def _gives(network: ir.Model, images: list[Pixels], right: list[Map]) -> bool:
    """Whether a graph has the original's maps of the images, with as many values that are not finite."""
    (image,) = network.graph.inputs
    executor = Executor(to_bytes(network), literal=True)
    for pixels, expected in zip(images, right, strict=True):
        (found,) = executor.run({str(image.name): pixels}).values()
        largest = np.abs(expected, where=np.isfinite(expected), out=np.zeros_like(expected)).max()
        if not np.allclose(found, expected, rtol=0, atol=SAME * float(largest), equal_nan=True):
            return False
    return True


def _check_map_follows(original: OnnxOriginal, to_network: ToNetwork, open_sides: tuple[bool, bool]) -> None:
    """Raises BadInputError for a map whose size was written into the graph when it was traced.

    The file says that a side is open, so another input must give another map. Where the network takes no other size,
    the map's sides have to be the same share of the input's, to a pixel.
    """
    if not any(open_sides):
        return
    size = (to_network.height_px, to_network.width_px)
    map_size = _map_size(original, size)
    other = tuple(_other(side, size) if is_open else side for side, is_open in zip(size, open_sides, strict=True))
    try:
        other_map = _map_size(original, other)
    except BadInputError:
        height_share, width_share = (inside / side for inside, side in zip(map_size, size, strict=True))
        is_baked = abs(height_share - width_share) > max(height_share / map_size[0], width_share / map_size[1])
    else:
        is_baked = any(
            before != after and inside == outside
            for before, after, inside, outside in zip(size, other, map_size, other_map, strict=True)
        )
    if is_baked:
        raise BadInputError(
            f"{original.where}: its map stays {map_size[0]}x{map_size[1]} whatever the size of its input, "
            f"{size[0]}x{size[1]} here: that size was written into the file when the network was traced; trace it with "
            f"an input of {size[0]}x{size[1]}, or give --network-size as it was traced"
        )


def _map_size(original: OnnxOriginal, size: tuple[int, ...]) -> tuple[int, ...]:
    return original.map_of(np.zeros((1, 3, *size), np.float32)).shape[-2:]


def _other(side: int, size: tuple[int, int]) -> int:
    """About half the side, a multiple of all that divides both sides: what a network's stride or patch does."""
    step = int(np.gcd(*size))
    while step * 2 > side and step % 2 == 0:
        step //= 2
    return max(step, side // 2 // step * step)


def _keep_one_output(model: ir.Model, asked: str | None, where: str) -> int | None:
    """Drop the other outputs; the channel of it that was asked for."""
    outputs = list(model.graph.outputs)
    output, channel = name_and_channel(asked, [str(value.name) for value in outputs])
    listed = ", ".join(f"{index} {value.name} {value.shape or ''}".strip() for index, value in enumerate(outputs))
    if output is None and len(outputs) > 1:
        raise BadInputError(f"{where}: has the outputs {listed}; choose the depth with --output")
    chosen = [value for value in outputs if output in (None, value.name)]
    if not chosen and str(output).isdecimal():
        chosen = outputs[int(str(output)) :][:1]
    if not chosen:
        raise BadInputError(f"{where}: has no output {output!r}; name one of {listed}")
    model.graph.outputs[:] = chosen
    common.RemoveUnusedNodesPass()(model)
    common.RemoveUnusedFunctionsPass()(model)  # type: ignore[no-untyped-call]  # onnx_ir wrote no types there
    return channel


def _fix_output(model: ir.Model, shape: tuple[int, ...]) -> None:
    """Write down the output's size as the original has it, where inference could not find it."""
    (image,), (output,) = model.graph.inputs, model.graph.outputs
    assert image.shape is not None
    output.shape, output.type = ir.Shape([image.shape[0], *shape[1:]]), ir.TensorType(ir.DataType.FLOAT)
