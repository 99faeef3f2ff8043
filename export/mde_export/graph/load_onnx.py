"""ONNX files from anywhere, hostile until checked: external data is read by us, from its own folder alone."""

import itertools
import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # it publishes none

from mde_runtime.errors import BadInputError
from mde_runtime.files import check_regular

MAX_BYTES = 1 << 31  # protobuf's own limit, and so a bundle's
TOO_LARGE = "a bundle cannot hold 2 GiB of weights: export a smaller network"


def load_onnx(path: Path) -> onnx.ModelProto:
    """The model of a file, its weights in memory. Raises BadInputError for what is none, or reaches out of its folder.

    Source of the attack: CVE-2026-27489 and CVE-2026-34447, external data whose location leaves the folder.
    """
    check_regular(path)
    if path.stat().st_size > MAX_BYTES:
        raise BadInputError(
            f"{path}: {path.stat().st_size} bytes are more than an ONNX file can have ({MAX_BYTES}); {TOO_LARGE}"
        )
    try:
        model: onnx.ModelProto = onnx.ModelProto.FromString(path.read_bytes())
    except DecodeError as error:
        raise BadInputError(f"{path}: not an ONNX file, or cut short; export it again") from error
    if not model.graph.node:
        raise BadInputError(f"{path}: an ONNX file without nodes; export it again")
    num_bytes = path.stat().st_size
    for tensor in external_tensors(model):
        num_bytes += _read_external(tensor, path)
        if num_bytes > MAX_BYTES:
            raise BadInputError(f"{path}: its weights are more than {MAX_BYTES} bytes; {TOO_LARGE}")
    return model


def external_tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every tensor whose bytes the model says are in another file, functions and inner graphs included."""
    nodes = (node for function in model.functions for node in function.node)
    for tensor in itertools.chain(_tensors(model.graph), _of_nodes(nodes)):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            yield tensor


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _of_nodes(graph.node)


def _of_nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.TensorProto]:
    for node in nodes:
        for attribute in node.attribute:
            yield from [attribute.t] if attribute.HasField("t") else attribute.tensors
            for inner in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                yield from _tensors(inner)


def _read_external(tensor: onnx.TensorProto, model: Path) -> int:
    """Put a tensor's bytes into it; give their number."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    where = f"{model}: weight {tensor.name} in {location!r}"
    file = model.parent / location
    if not location or Path(location).is_absolute() or ".." in Path(location).parts:
        raise BadInputError(f"{where}: external data must lie beside the model; do not trust this file")
    if file.resolve() != model.parent.resolve() / location:
        raise BadInputError(f"{where}: is a link; external data must be the file itself")
    try:
        offset, size = int(entries.get("offset", 0)), int(entries.get("length", -1))
        needed = math.prod(tensor.dims) * onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        check_regular(file)
        length = file.stat().st_size
    except (ValueError, KeyError, TypeError) as error:
        raise BadInputError(f"{where}: damaged entry ({error}); export the model again") from error
    except OSError as error:
        raise BadInputError(f"{where}: {error.strerror}; copy the data file to the model's folder") from error
    size = needed if size == -1 else size
    if min(needed, offset) < 0 or size != needed or offset + size > length:
        raise BadInputError(
            f"{where}: {size} bytes from {offset} of {length} do not hold {needed} bytes; copy it again"
        )
    if size > MAX_BYTES:
        raise BadInputError(
            f"{where}: {size} bytes are more than a graph in a bundle can have ({MAX_BYTES}); {TOO_LARGE}"
        )
    with file.open("rb") as data:
        data.seek(offset)
        tensor.raw_data = data.read(size)
    del tensor.external_data[:]
    tensor.data_location = onnx.TensorProto.DEFAULT
    return size
