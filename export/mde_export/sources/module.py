"""Anyone's PyTorch network: `package.module:build`, called without arguments, gives it."""

import importlib
import sys
from functools import partial
from importlib.metadata import version
from pathlib import Path

import torch
from torch import nn

from mde_export.request import Request, contract_of
from mde_export.sources import Source
from mde_export.sources.checkpoint import depth_of
from mde_export.sources.first_difference import first_difference
from mde_export.sources.from_torch import onnx_from_torch
from mde_runtime import files
from mde_runtime.errors import BadInputError, UsageError
from mde_train.checkpoint import load_weights
from mde_train.depth_model import DepthModel


def open_source(request: Request) -> Source:
    """Build the network and fill it. Raises UsageError where weights or contract are not given."""
    if request.weights is None:
        raise UsageError(f"{request.model}: its weights are not known; give --weights FILE")
    contract = contract_of(request, None)
    network = _build(request.model).eval()
    load_weights(network, request.weights)
    return Source(
        origin="module",
        model=request.model,
        sha256=files.sha256_of_file(request.weights),
        data_sha256=None,
        recipe=None,
        contract=contract,
        network=lambda: onnx_from_torch(network, contract, request.most_at_once),
        pictures=None,
        reference=f"{request.model} in PyTorch {torch.__version__}, FP32",
        depth_by=lambda contract: depth_of(DepthModel(network, contract)),
        tools={name: version(name) for name in ("torch", "onnxscript")},
        first_difference=partial(first_difference, network, contract),
    )


def _build(name: str) -> nn.Module:
    """Import and call the function. The current folder is searched first, as with `python -m`."""
    module_name, _, function = name.partition(":")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    try:
        build = getattr(importlib.import_module(module_name), function)
    except (ImportError, AttributeError) as error:
        raise BadInputError(f"{name}: {error}; it is written package.module:function") from error
    network = build()
    if not isinstance(network, nn.Module):
        raise BadInputError(f"{name}: gave {type(network).__name__}, not a torch.nn.Module; return the network")
    return network
