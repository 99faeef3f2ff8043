"""Any depth network's ONNX graph to the form that stages go around: one image in, one map out, every size fixed."""

import numpy as np
import onnx
import onnx_ir as ir
import onnxscript.optimizer
import onnxscript.version_converter
from onnx_ir.passes import common

from mde_export.canonical import OPSET, refusing_damage
from mde_export.execute import Executor
from mde_runtime.contract import Contract, ToNetwork
from mde_runtime.errors import BadInputError

OLDEST, NEWEST = 17, 20  # opsets that are left as they are: 17 has LayerNormalization, 20 is TensorRT 10.3's last


def network_from_onnx(
    proto: onnx.ModelProto, contract: Contract, output: str | None, is_batch_open: bool, where: str
) -> ir.Model:
    """The graph with the contract's input size, one output, and nothing but standard operators of a readable opset.

    output: which output is the map, where there are several. Raises BadInputError that names the flag that would help.
    """
    with refusing_damage(where):
        onnx.checker.check_model(proto)
        return _network(ir.serde.deserialize_model(proto), contract, output, is_batch_open, where)


def _network(model: ir.Model, contract: Contract, output: str | None, is_batch_open: bool, where: str) -> ir.Model:
    common.RemoveInitializersFromInputsPass()(model)
    _keep_one_output(model, output, where)
    _fix_input(model, contract.to_network, is_batch_open, where)
    _to_readable_opset(model, where)
    common.InlinePass()(model)
    optimized: ir.Model = onnxscript.optimizer.optimize(model)  # folds the arithmetic on sizes, and BatchNorm
    _fix_output(optimized, where)
    return optimized


def _keep_one_output(model: ir.Model, output: str | None, where: str) -> None:
    names = [value.name for value in model.graph.outputs]
    if output is None and len(names) > 1:
        raise BadInputError(f"{where}: has the outputs {', '.join(map(str, names))}; say which is depth with --output")
    if output is not None and output not in names:
        raise BadInputError(f"{where}: has no output {output!r}; name one of {', '.join(map(str, names))}")
    model.graph.outputs[:] = [value for value in model.graph.outputs if output in (None, value.name)]
    common.RemoveUnusedNodesPass()(model)


def _fix_input(model: ir.Model, wanted: ToNetwork, is_batch_open: bool, where: str) -> None:
    """Give the image input the contract's size; symbolic sides take it, fixed ones must have it."""
    inputs = model.graph.inputs
    if len(inputs) != 1:
        names = ", ".join(str(value.name) for value in inputs)
        raise BadInputError(f"{where}: has the inputs {names}; a depth network here takes one image")
    (image,) = inputs
    if image.dtype != ir.DataType.FLOAT or image.shape is None or len(image.shape) != 4:
        raise BadInputError(
            f"{where}: its input {image.name} is {image.dtype} {image.shape}, not FLOAT (N, 3, h, w); "
            "export the FP32 network without preprocessing"
        )
    size = ("N" if is_batch_open else 1, 3, wanted.height_px, wanted.width_px)
    if is_batch_open and isinstance(image.shape[0], int):
        raise BadInputError(f"{where}: takes {image.shape[0]} frames at a time; export it with an open batch")
    for found, side in zip(image.shape.dims, size, strict=True):
        if isinstance(found, int) and found != side:
            raise BadInputError(f"{where}: its input is {image.shape}, the contract says {size}; change the contract")
    image.shape = ir.Shape(size)
    for node in model.graph:  # what was inferred for symbolic sides is inferred anew
        for value in node.outputs:
            value.shape = None


def _to_readable_opset(model: ir.Model, where: str) -> None:
    opset = model.opset_imports.get("", 1)
    strange = sorted({node.domain for node in model.graph} - {""} - {key[0] for key in model.functions})
    if strange:
        raise BadInputError(f"{where}: operators of {', '.join(strange)} run in one runtime only; export without them")
    if OLDEST <= opset <= NEWEST:
        return
    try:
        onnxscript.version_converter.convert_version(model, OPSET, fallback=True)
    except (RuntimeError, ValueError) as error:
        raise BadInputError(f"{where}: opset {opset} does not convert to {OPSET} ({error}); export it anew") from error
    if model.opset_imports.get("") != OPSET:
        raise BadInputError(f"{where}: opset {opset} does not convert to {OPSET}; export it with opset {OPSET}")


def _fix_output(model: ir.Model, where: str) -> None:
    """Write down the output's size as it comes out, where inference could not find it."""
    (image,), (output,) = model.graph.inputs, model.graph.outputs
    assert image.shape is not None
    batch, *size = image.shape.dims
    zeros = np.zeros([1, *(side for side in size if isinstance(side, int))], np.float32)
    session = Executor(ir.serde.serialize_model(model).SerializeToString(), literal=False)
    (answer,) = session.run({str(image.name): zeros}).values()
    if answer.dtype != np.float32:
        raise BadInputError(f"{where}: its output is {answer.dtype}, not float32; export the FP32 network")
    output.shape, output.type = ir.Shape([batch, *answer.shape[1:]]), ir.TensorType(ir.DataType.FLOAT)
