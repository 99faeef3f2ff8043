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
from mde_runtime.contract import Contract
from mde_runtime.errors import BadInputError


def onnx_from_torch(network: nn.Module, contract: Contract, most_at_once: int = 1) -> ir.Model:
    """The network alone, without stages: (N, 3, h, w) float32 in. BatchNorm is folded into both convolutions.

    most_at_once: N is 1, or open up to that many.

    Raises BadInputError when PyTorch cannot capture the network.
    """
    with quiet():
        return program_of(network, contract, most_at_once).model


def program_of(network: nn.Module, contract: Contract, most_at_once: int = 1) -> torch.onnx.ONNXProgram:
    """The ONNX graph, and what PyTorch captured to make it; see `onnx_from_torch`."""
    wanted = contract.to_network
    is_open = most_at_once > 1
    example = torch.zeros(2 if is_open else 1, 3, wanted.height_px, wanted.width_px)
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
        cause = error.__cause__ or error
        raise BadInputError(
            f"PyTorch cannot export the network ({type(cause).__name__}: {_last_line(cause)}); "
            "make its forward free of branches on tensor values"
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


def _last_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [""])[-1][:200]
