"""Frozen dataclasses to JSON and back, strictly.

Everything on disk that is not an array or a graph is a record: contract, manifest, certificate, verification,
recipe. A key too many, a key missing, a value of another type is an error that names the place
(`contract.to_network.mean`), because a reader that guesses is how preprocessing drifts.
"""

import dataclasses
import functools
import json
import math
import re
import types
import typing
from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, Union

from mde_runtime.errors import BadInputError

Record = TypeVar("Record")

NOT_ASCII = re.compile("[^\\x00-\\x7e]")  # where a terminal's commands may be; json.dumps escapes those below a space
MAX_DEPTH = 100  # of lists and objects in each other; records have less than 10, and writing fails near 500


def to_json(record: object) -> Any:  # Any: JSON has no narrower type that json.dumps takes
    """The record as dicts, lists, strings, numbers, booleans and None. Keys keep the order of the fields."""
    if dataclasses.is_dataclass(record):
        return {field.name: to_json(getattr(record, field.name)) for field in dataclasses.fields(record)}
    if isinstance(record, Mapping):
        return {str(key): to_json(value) for key, value in record.items()}
    if isinstance(record, (tuple, list)):
        return [to_json(value) for value in record]
    return record


def dumps(record: object) -> str:
    """The record as indented JSON text: the same text for the same record, on any machine."""
    text = json.dumps(to_json(record), indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    return NOT_ASCII.sub(lambda found: found[0] if found[0].isprintable() else json.dumps(found[0])[1:-1], text)


def from_json(kind: type[Record], value: object, where: str) -> Record:
    """A record of `kind` from parsed JSON. `where` is the name that errors begin with, e.g. `contract`.

    Raises BadInputError when a key is missing, unknown or of another type.
    """
    return typing.cast(Record, _read(kind, value, where))  # _read dispatches on `kind`, which no type can express


def loads(kind: type[Record], text: str | bytes, where: str) -> Record:
    """A record of `kind` from JSON text; see `from_json`."""
    return from_json(kind, parse(text, where), where)


def parse(text: str | bytes, where: str) -> Any:  # Any: JSON has no narrower type
    """JSON text as dicts, lists, strings, numbers, booleans and None. Raises BadInputError for what is none."""
    try:
        value = json.loads(_decoded(text), object_pairs_hook=_without_doubles)
    except (ValueError, RecursionError) as error:
        raise BadInputError(f"{where}: not JSON ({error}); write the file again") from error
    _check_writable(value, where)
    return value


def _decoded(text: str | bytes) -> str:
    """UTF-8 without a byte order mark: `json.loads` would guess UTF-16 and UTF-32 as well."""
    decoded = text if isinstance(text, str) else text.decode()
    if decoded.startswith("\ufeff"):
        raise ValueError("it begins with a byte order mark")
    return decoded


def _without_doubles(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object's keys and values. One key twice is read by each reader in its own way, so by none here."""
    found = dict(pairs)
    if len(found) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        raise ValueError(f"the key {counts.most_common(1)[0][0][:40]!r} appears twice")
    return found


def _check_writable(value: object, where: str) -> None:
    """Refuse what JSON can say and nobody can write or print again: half of a surrogate pair, nesting without end."""
    left = [(value, 0)]
    while left:
        value, depth = left.pop()
        if depth > MAX_DEPTH:
            raise BadInputError(f"{where}: more than {MAX_DEPTH} nested lists and objects; write the file again")
        if isinstance(value, str):
            try:
                value.encode()
            except UnicodeEncodeError as error:
                raise BadInputError(f"{where}: {value[:40]!r} is not valid Unicode; write the file again") from error
        elif isinstance(value, (dict, list)):
            items = value if isinstance(value, list) else (*value, *value.values())
            left += [(item, depth + 1) for item in items]


def _read(kind: Any, value: object, where: str) -> object:  # Any: a type form such as tuple[int, ...] or int | None
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        return _read_dataclass(typing.cast(type, kind), value, where)
    if origin is Literal:
        if value not in arguments or isinstance(value, bool):
            raise BadInputError(f"{where}: {value!r} is not one of {', '.join(map(str, arguments))}; write one of them")
        return value
    if origin in (Union, types.UnionType):
        return _read_union(arguments, value, where)
    if origin is tuple:
        return _read_tuple(arguments, value, where)
    if origin in (dict, Mapping):
        if not isinstance(value, dict):
            raise _wrong_type("an object", value, where)
        return {key: _read(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    return _read_scalar(kind, value, where)


def _read_dataclass(kind: type, value: object, where: str) -> object:
    if not isinstance(value, dict):
        raise _wrong_type("an object", value, where)
    hints = _hints(kind)
    if unknown := sorted(set(value) - set(hints)):
        raise BadInputError(f"{where}: unknown key {unknown[0]!r}; the keys are {', '.join(hints)}; remove it")
    if missing := [name for name in hints if name not in value]:
        raise BadInputError(f"{where}: the key {missing[0]!r} is missing; add it (docs/formats.md)")
    return kind(**{name: _read(hint, value[name], f"{where}.{name}") for name, hint in hints.items()})


def _read_union(arguments: tuple[Any, ...], value: object, where: str) -> object:
    """Null, a word, or another kind: records have no union of two others."""
    if value is None and type(None) in arguments:
        return None
    words = [argument for argument in arguments if typing.get_origin(argument) is Literal]
    others = [argument for argument in arguments if argument not in words and argument is not type(None)]
    (kind,) = words if words and (isinstance(value, str) or not others) else others
    return _read(kind, value, where)


def _read_tuple(arguments: tuple[Any, ...], value: object, where: str) -> tuple[object, ...]:
    if not isinstance(value, list):
        raise _wrong_type("a list", value, where)
    if arguments[1:] == (Ellipsis,):
        arguments = arguments[:1] * len(value)
    if len(arguments) != len(value):
        raise BadInputError(f"{where}: {len(value)} values where {len(arguments)} are expected; write that many")
    return tuple(
        _read(kind, item, f"{where}[{i}]") for i, (kind, item) in enumerate(zip(arguments, value, strict=True))
    )


def _read_scalar(kind: Any, value: object, where: str) -> object:
    if kind is Any:  # a field that only travels: a recipe of another version, say
        try:
            json.dumps(value, allow_nan=False)
        except ValueError as error:
            raise BadInputError(f"{where}: not JSON ({error}); write the file again") from error
        return value
    if kind is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:  # JSON's whole numbers have no end
            number = math.inf
        if not math.isfinite(number):
            raise BadInputError(f"{where}: {number} is not a finite number; write one")
        return number
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise _wrong_type(
            {int: "a whole number", float: "a number", str: "text", bool: "true or false"}[kind], value, where
        )
    return value


def _wrong_type(expected: str, value: object, where: str) -> BadInputError:
    return BadInputError(
        f"{where}: {expected} is expected, not {type(value).__name__} {str(value)[:40]!r}; see docs/formats.md"
    )


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}
