"""Values of a checkpoint, which may be anybody's: text, JSON and tensors, checked before anything is made of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mde_runtime import records
from mde_runtime.contract import Contract
from mde_runtime.errors import BadInputError


def text_of(path: Path, content: Mapping[str, Any], key: str) -> str:
    """A text. Raises BadInputError where there is none, another type, or what nobody could write again."""
    if key not in content:
        raise BadInputError(f"{path}: damaged checkpoint, without {key!r}; copy it again")
    value = content[key]
    if not isinstance(value, str):
        raise BadInputError(
            f"{path}: damaged checkpoint, with values of another type: {key} is not text; copy it again"
        )
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise BadInputError(f"{path}: damaged checkpoint: {key} is not valid Unicode; copy it again") from error
    return value


def json_of(path: Path, content: Mapping[str, Any], key: str, kind: Any) -> Any:  # Any: a type form, and its value
    """A JSON text as a value of the kind. Raises BadInputError for another, for NaN and for nesting without end."""
    return records.loads(kind, text_of(path, content, key), f"{path}: {key}")


def contract_of(path: Path, content: Mapping[str, Any]) -> Contract:
    """The contract. Raises BadInputError where it is none."""
    try:
        return Contract.loads(text_of(path, content, "contract"))
    except BadInputError as error:
        named = str(error) if str(error).startswith(str(path)) else f"{path}: {error}"
        raise BadInputError(named) from error


def check_plain(path: Path, what: str, value: object) -> None:
    """Raise BadInputError unless a value is a dense tensor of real numbers, all of which the file holds."""
    if not _is_plain(value):
        raise BadInputError(f"{path}: {what} is not a dense tensor of real numbers; copy it again")
    assert isinstance(value, Tensor)
    if not _holds_all(value):
        raise BadInputError(f"{path}: {what} claims more numbers than the file holds; copy it again")


def _is_plain(value: object) -> bool:
    return (
        isinstance(value, Tensor)
        and value.layout is torch.strided
        and value.device.type == "cpu"  # not "meta", which has no numbers
        and not (value.is_quantized or value.is_nested or value.is_complex())
    )


def _holds_all(tensor: Tensor) -> bool:
    """Whether every element has its own place in the file: an expanded tensor is small there and vast in memory."""
    return tensor.untyped_storage().nbytes() >= tensor.numel() * tensor.element_size()


def check_heldout(path: Path, frames: object, depth_m: object, filler: object, contract: Contract, most: int) -> None:
    """Raise BadInputError unless there are `most` frames of the contract's size or fewer, with depth of 0 or more each.

    filler: further frames without depth, `most` with the others or fewer.
    """
    check_plain(path, "heldout_frames", frames)
    check_plain(path, "heldout_depth_m", depth_m)
    check_plain(path, "filler_frames", filler)
    assert isinstance(frames, Tensor)
    assert isinstance(depth_m, Tensor)
    assert isinstance(filler, Tensor)
    shape = (frames.shape[0] if frames.ndim else 0, contract.source.height_px, contract.source.width_px)
    fits = tuple(frames.shape) == (*shape, 3) and tuple(depth_m.shape) == shape and shape[0] <= most
    room = most - shape[0]
    fits = fits and (not len(filler) or (tuple(filler.shape[1:]) == (*shape[1:], 3) and len(filler) <= room))
    if not fits or filler.dtype != torch.uint8 or frames.dtype != torch.uint8 or depth_m.dtype != torch.float32:
        raise BadInputError(f"{path}: its held-out frames do not fit its contract; copy the checkpoint again")
    if depth_m.requires_grad or not torch.isfinite(depth_m).all() or (depth_m < 0).any():
        raise BadInputError(
            f"{path}: its held-out depth is NaN, infinite or negative, or requires a gradient; copy the checkpoint "
            "again"
        )


def check_fit(path: Path, state: Mapping[str, Any], own: Mapping[str, Tensor]) -> None:
    """Raise BadInputError that names the first weight that is missing, unknown, or of another kind or shape."""
    missing, extra = [name for name in own if name not in state], [name for name in state if name not in own]
    wrong = [
        f"{names[0]} is {how} ({len(names)} in all)"
        for names, how in ((missing, "missing"), (extra, "unknown"))
        if names
    ]
    if wrong:
        raise BadInputError(f"{path}: the weight {', and '.join(wrong)}; does it belong to this network?")
    for name, value in own.items():
        check_plain(path, f"the weight {name}", state[name])
        if tuple(state[name].shape) != tuple(value.shape):
            raise BadInputError(
                f"{path}: the weight {name} is {tuple(state[name].shape)}, the network's is {tuple(value.shape)}"
            )
        if value.is_floating_point() and not state[name].is_floating_point():  # half of a counter is a counter
            raise BadInputError(
                f"{path}: the weight {name} is {state[name].dtype}, the network's is {value.dtype}; copy it again"
            )
