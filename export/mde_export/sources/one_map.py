"""The map among all that a PyTorch network's forward gives, as a network that gives nothing else.

It is captured and it is the reference, so that both are of the same output.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mde_export.sources.map_shape import Reading, Shape, checked_reading, name_and_channel, reading_of
from mde_runtime.errors import BadInputError

MAX_DEPTH = 4  # of outputs in outputs: somebody's object may lead back to itself

Path = tuple[Any, ...]  # Any: a key may be whatever a dict takes


@dataclass(frozen=True)
class Output:
    """A tensor in what forward gives."""

    path: Path  # keys, field names and indices that lead to it; empty: it is all there is
    shape: Shape
    is_float: bool

    @property
    def name(self) -> str:
        """What --output calls it: ("disp", 0) is disp.0."""
        parts = (str(part) for key in self.path for part in (key if isinstance(key, tuple) else (key,)))
        return ".".join(parts)

    @property
    def is_map(self) -> bool:
        """Whether it can be depth at all."""
        return self.is_float and reading_of(self.shape) is not None


class OneMap(nn.Module):
    """A network whose answer is one of its outputs, float32, as (N, 1, h, w) or (N, h, w)."""

    def __init__(self, network: nn.Module, path: Path, reading: Reading):
        super().__init__()
        self.network, self._path, self._reading = network, path, reading

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, h, w) to the map."""
        output = self.network(x)
        for key in self._path:
            output = _member(output, key)
        if self._reading.channel is not None:
            output = output[:, [self._reading.channel]]
        for axis in reversed(self._reading.drop):
            output = output.squeeze(axis)
        if not self._reading.has_batch:
            output = output.unsqueeze(0)
        return output.float()  # type: ignore[no-any-return]  # whatever forward gives is Any


def one_map(
    network: nn.Module, answer: object, asked: str | None, is_batch_open: bool, where: str
) -> tuple[nn.Module, str]:
    """The network with one map as its answer, and the output's name where forward gives more than a tensor.

    answer: what forward gives for one frame. asked: the output's name or index; None: there is but one map.
    Raises BadInputError that lists the outputs.
    """
    found = list(_outputs(answer, ()))
    asked, channel = name_and_channel(asked, [output.name for output in found])
    output = _chosen(found, asked, answer, where)
    if not output.is_float:
        raise BadInputError(f"{where}: its output {output.name} holds whole numbers, not depth; {_listed(found)}")
    subject = f"{where}: its output {output.name}" if output.path else f"{where}: its forward"
    reading = checked_reading(output.shape, channel, is_batch_open, subject)
    if not output.path and reading.is_plain and isinstance(answer, Tensor) and answer.dtype == torch.float32:
        return network, ""
    return OneMap(network, output.path, reading).eval(), output.name


def _chosen(found: list[Output], asked: str | None, answer: object, where: str) -> Output:
    if not found:
        raise BadInputError(f"{where}: its forward gives {type(answer).__name__} without a tensor; return the map")
    if asked is not None:
        named = [output for output in found if output.name == asked]
        if not named and asked.isdecimal() and int(asked) < len(found):
            named = [found[int(asked)]]
        if len(named) != 1:
            raise BadInputError(f"{where}: has no output {asked!r}; {_listed(found)}; name one of them with --output")
        return named[0]
    maps = [output for output in found if output.is_map]
    if len(found) > 1 and len(maps) != 1:
        raise BadInputError(f"{where}: its forward gives several outputs: {_listed(found)}; choose one with --output")
    return maps[0] if maps else found[0]


def _listed(found: list[Output]) -> str:
    return ", ".join(f"{index} {output.name or 'tensor'} {output.shape}" for index, output in enumerate(found))


def _outputs(value: object, path: Path) -> Iterator[Output]:
    """Every tensor, however deep: in dicts, lists, tuples, and in the fields of other objects."""
    if isinstance(value, Tensor):
        yield Output(path, tuple(value.shape), value.is_floating_point())
        return
    for key, inner in _members(value) if len(path) < MAX_DEPTH else ():
        yield from _outputs(inner, (*path, key))


def _members(value: object) -> list[tuple[Any, object]]:
    if isinstance(value, Mapping):
        return list(value.items())
    if isinstance(value, tuple) and hasattr(value, "_fields"):  # a NamedTuple, whose type has no name of its own
        return list(zip(value._fields, value, strict=True))
    if isinstance(value, (tuple, list)):
        return list(enumerate(value))
    if is_dataclass(value):
        return [(field.name, getattr(value, field.name)) for field in fields(value)]
    if isinstance(value, nn.Module):
        return []
    return [(name, inner) for name, inner in getattr(value, "__dict__", {}).items() if not name.startswith("_")]


def _member(value: Any, key: Any) -> Any:  # Any: as in `Path`
    return getattr(value, key) if isinstance(key, str) and not isinstance(value, Mapping) else value[key]
