"""A first run of somebody's PyTorch network: what its forward takes and gives, before anything is exported."""

import contextlib
import inspect
import sys
from collections.abc import Iterator

import torch
from torch import nn

from mde_export.request.request import Size
from mde_export.sources.users_code import in_words, users_code
from mde_runtime.errors import BadInputError

STEPS_PX = (2, 4, 8, 14, 16, 32)  # strides and patch sizes of the field's networks


def answer_of(network: nn.Module, size: Size, name: str) -> object:
    """What forward gives for a black frame of this size. The network is in eval mode.

    Raises BadInputError for a forward that fails, or takes more than an image. Where other sizes pass, the size is why
    it fails, and the nearest ones are named.
    """
    _check_takes_an_image(network, name)
    try:
        return _run(network, size)
    except Exception as error:  # whatever their code raises
        if not (taken := list(_nearest_sizes(network, size))):
            with users_code(name, "its forward"):
                raise
        raise BadInputError(
            f"{name}: its forward does not take {_shown(size)} and fails{in_words(error, name)}; it takes "
            f"{' and '.join(map(_shown, taken))}: pass such a size with --network-size, or in the contract"
        ) from error


def _run(network: nn.Module, size: Size) -> object:
    with torch.no_grad(), contextlib.redirect_stdout(sys.stderr):
        return network(torch.zeros(1, 3, *size))


def _nearest_sizes(network: nn.Module, size: Size) -> Iterator[Size]:
    """The nearest smaller and the nearest larger size that pass, as far as there are any. At most 12 runs."""
    smaller = {(height // step * step, width // step * step) for height, width in [size] for step in STEPS_PX}
    larger = {(-(-height // step) * step, -(-width // step) * step) for height, width in [size] for step in STEPS_PX}
    for sizes in (smaller, larger):
        nearest_first = sorted(sizes - {size}, key=lambda other: abs(other[0] - size[0]) + abs(other[1] - size[1]))
        passing = (other for other in nearest_first if all(other) and _passes(network, other))
        yield from [other for other in [next(passing, None)] if other is not None]


def _passes(network: nn.Module, size: Size) -> bool:
    try:
        _run(network, size)
    except Exception:  # noqa: BLE001  whatever their code raises
        return False
    return True


def _check_takes_an_image(network: nn.Module, name: str) -> None:
    try:
        signature = inspect.signature(network.forward)
    except ValueError:  # of TorchScript, which has none
        return
    needed = [
        parameter.name
        for parameter in signature.parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    if len(needed) > 1:
        image, *others = needed
        raise BadInputError(
            f"{name}: its forward takes {', '.join(needed)}; a depth network here takes the image alone. Bake in "
            f"{', '.join(others)}: let build() give a module whose forward({image}) returns "
            f"network({', '.join(needed)})"
        )


def _shown(size: Size) -> str:
    return f"{size[0]}x{size[1]}"
