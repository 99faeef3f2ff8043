"""A PyTorch network as an ONNX graph."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator

import onnx_ir as ir
import torch
from torch import nn

from mde_export.graph.canonical import OPSET
from mde_export.sources.random_nodes import refuse_random
from mde_export.sources.users_code import place_in
from mde_runtime.contract import Contract
from mde_runtime.errors import REASON_LENGTH, BadInputError

REMEDIES = {  # by a word of PyTorch's
    "scaled_dot_product_attention": "write its attention as matmul and softmax, or on tensors of rank 4; networks of "
    'transformers: attn_implementation="eager"',
    "DataDependent": "make its forward free of branches on tensor values",
    "data-dependent": "make its forward free of branches on tensor values",
}


def onnx_from_torch(network: nn.Module, contract: Contract, most_at_once: int = 1) -> ir.Model:
    """The network alone, without stages: (N, 3, h, w) float32 in. BatchNorm is folded into both convolutions.

    most_at_once: N is 1, or open up to that many.

    Raises BadInputError when PyTorch cannot capture the network, or where it draws random numbers.
    """
    with quiet():
        model = program_of(network, contract, most_at_once).model
    refuse_random(model, "the network")
    return model


def program_of(network: nn.Module, contract: Contract, most_at_once: int = 1) -> torch.onnx.ONNXProgram:
    """The ONNX graph, and what PyTorch captured to make it; see `onnx_from_torch`."""
    to_network = contract.to_network
    is_open = most_at_once > 1
    example = torch.zeros(2 if is_open else 1, 3, to_network.height_px, to_network.width_px)
    try:
        program = torch.onnx.export(
            network.eval(),
            (example,),
            dynamo=True,
            opset_version=OPSET,
            external_data=False,
            verbose=False,
            dynamic_shapes=({0: torch.export.Dim("N", min=1, max=most_at_once)},) if is_open else None,
        )
    except torch.onnx.OnnxExporterError as error:
        raise BadInputError(
            f"PyTorch cannot export the network ({_first_cause(error)}); {_remedy(error, network)}"
        ) from error
    assert program is not None  # of the older exporter only
    return program


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """PyTorch prints its steps to stdout, which belongs to our results, and warns about its own internals."""
    level = logging.getLogger("torch.onnx").level
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.getLogger("torch.onnx").setLevel(level)


def _causes(error: BaseException) -> list[BaseException]:
    """An exception and those that led to it, the first of them last."""
    causes = [error]
    while causes[-1].__cause__ is not None:
        causes.append(causes[-1].__cause__)
    return causes


def _first_cause(error: BaseException) -> str:
    """The first line of the first cause, and where: PyTorch's advice comes after it, then its pages of context."""
    causes = _causes(error)
    cause, place = causes[-1], next(filter(None, (place_in(cause) for cause in reversed(causes))), "")
    first_line = next((line for line in str(cause).splitlines() if line.strip()), "")
    return f"{type(cause).__name__}: {first_line.strip()[:REASON_LENGTH]}{f', at {place}' if place else ''}"


def _remedy(error: BaseException, network: nn.Module) -> str:
    """The way out that is known for what PyTorch says, else the way around."""
    said = " ".join(f"{type(cause).__name__} {cause}" for cause in _causes(error))
    scripted = [path for path, layer in network.named_modules() if isinstance(layer, torch.jit.ScriptModule)]
    if scripted:
        which = f"its layer {scripted[0]}" if scripted[0] else "the network"
        return (
            f"{which} is TorchScript, which is not captured: build it from its Python class, or write an ONNX file "
            "with torch.onnx.export(..., dynamo=False) and pass that"
        )
    for sign, remedy in REMEDIES.items():
        if sign in said:
            return remedy
    return "rewrite that part of its forward, or write an ONNX file with another exporter and pass that"
