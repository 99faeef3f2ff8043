"""Anyone's PyTorch network: `package.module:build`, called without arguments, gives it."""

import contextlib
import importlib
import importlib.util
import sys
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from mde_export.judge.evidence import ManyFrames, ManyMaps
from mde_export.request.contract_by_options import contract_of
from mde_export.request.request import Request
from mde_export.sources import DepthOf, Source
from mde_export.sources.checkpoint import depth_of
from mde_export.sources.first_difference import first_difference
from mde_export.sources.from_torch import onnx_from_torch
from mde_export.sources.one_map import one_map
from mde_export.sources.trial_run import answer_of
from mde_export.sources.users_code import users_code
from mde_runtime import files
from mde_runtime.errors import BadInputError, MachineError, UsageError
from mde_train.checkpoint import load_weights
from mde_train.depth_model import DepthModel
from mde_train.torchvision_ops import import_torchvision


def open_source(request: Request) -> Source:
    """Build the network, fill it and find its map. Raises UsageError where weights or contract are not given."""
    if request.weights is None:
        raise UsageError(f"{request.model}: no weights were given; pass --weights FILE")
    contract, assumed = contract_of(request, None)
    built = _build(request.model).eval().float()  # before the weights come, which keep what half would round
    prefix = load_weights(built, request.weights)
    answer = answer_of(built, (contract.to_network.height_px, contract.to_network.width_px), request.model)
    network, output = one_map(built, answer, request.output, request.most_at_once > 1, request.model)
    return Source(
        origin="module",
        model=request.model,
        sha256=files.sha256_of_file(request.weights),
        data_sha256=None,
        recipe=None,
        contract=contract,
        network=lambda: onnx_from_torch(network, contract, request.most_at_once),
        pictures=None,
        notes=tuple(assumed),
        reference=_in_words(request.model, output, prefix),
        depth_by=lambda contract: _of_users_code(depth_of(DepthModel(network, contract)), request.model),
        tools={name: version(name) for name in ("torch", "onnxscript")},
        first_difference=partial(first_difference, network, contract),
    )


def _in_words(model: str, output: str, prefix: str) -> str:
    which = f", its output {output}" if output else ""
    weights = f", weights without their prefix {prefix}" if prefix else ""
    return f"{model} in PyTorch {torch.__version__}, FP32{which}{weights}"


def _build(name: str) -> nn.Module:
    """Import and call the function. The current folder is searched first, as with `python -m`."""
    module_name, _, function = name.partition(":")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    build = _function(_imported(module_name, name), function, name)
    with users_code(name, f"{function}()"):
        network = build()
    if not isinstance(network, nn.Module):
        raise BadInputError(f"{name}: gave {type(network).__name__}, not a torch.nn.Module; return the network")
    return network


def _imported(module_name: str, name: str) -> ModuleType:
    if importlib.util.find_spec("torchvision") is not None:
        with contextlib.suppress(MachineError):  # they may not need it, and get its own words where they do
            import_torchvision()  # before theirs, whose import it repairs
    try:
        with users_code(name, "its import"):
            return importlib.import_module(module_name)
    except BadInputError as error:
        missing = error.__cause__
        if isinstance(missing, ModuleNotFoundError) and f"{module_name}.".startswith(f"{missing.name}."):
            raise BadInputError(
                f"{name}: {missing}; write package.module:function; the current folder is searched first"
            ) from missing
        raise


def _function(module: ModuleType, function: str, name: str) -> Callable[[], Any]:  # Any: theirs
    build = getattr(module, function, None)
    if not callable(build):
        raise BadInputError(f"{name}: {module.__name__} has no function {function!r}; write package.module:function")
    return build  # type: ignore[no-any-return]  # theirs


def _of_users_code(depth_of_network: DepthOf, name: str) -> DepthOf:
    def depth(frames: ManyFrames, advance: Callable[[], None]) -> tuple[ManyMaps, int]:
        with users_code(name, "its forward"):
            return depth_of_network(frames, advance)

    return depth
