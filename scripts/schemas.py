"""Write the JSON Schemas of docs/schema/ from the records that the project reads and writes.

    .venv/bin/python scripts/schemas.py docs/schema

A schema says which keys there are and of what type; what values must fit together stands in docs/formats.md.
"""

import dataclasses
import inspect
import json
import sys
import types
import typing
from pathlib import Path
from typing import Any, Literal, Union

from mde_bench.result.result import Result
from mde_runtime.bundle import Manifest
from mde_runtime.camera.calibration import Calibration
from mde_runtime.certificate import Certificate
from mde_runtime.contract import Contract

RECORDS = {
    "contract": Contract,
    "manifest": Manifest,
    "certificate": Certificate,
    "camera": Calibration,
    "bench": Result,
}
SCALARS = {int: "integer", float: "number", str: "string", bool: "boolean"}
Schema = dict[str, Any]  # Any: JSON


def schema_of(record: type) -> Schema:
    """The JSON Schema of a record, with a definition for every record inside it."""
    definitions: dict[str, Schema] = {}
    reference = _schema(record, definitions)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **reference, "$defs": definitions}


def _schema(kind: Any, definitions: dict[str, Schema]) -> Schema:  # Any: a type form such as tuple[int, ...]
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        return _object(typing.cast(type, kind), definitions)
    if kind is Any:
        return {}
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (Union, types.UnionType):
        return {"anyOf": [_schema(argument, definitions) for argument in arguments]}
    if kind is type(None):
        return {"type": "null"}
    if origin is dict:
        return {"type": "object", "additionalProperties": _schema(arguments[1], definitions)}
    if origin is tuple and arguments[1:] == (Ellipsis,):
        return {"type": "array", "items": _schema(arguments[0], definitions)}
    if origin is tuple:
        items = [_schema(argument, definitions) for argument in arguments]
        return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}
    return {"type": SCALARS[kind]}


def _object(record: type, definitions: dict[str, Schema]) -> Schema:
    if record.__name__ not in definitions:
        hints = typing.get_type_hints(record)
        definitions[record.__name__] = {
            "description": inspect.cleandoc(record.__doc__ or "").split("\n\n")[0].replace("\n", " "),
            "type": "object",
            "properties": {field.name: _schema(hints[field.name], definitions) for field in dataclasses.fields(record)},
            "required": [field.name for field in dataclasses.fields(record)],
            "additionalProperties": False,
        }
    return {"$ref": f"#/$defs/{record.__name__}"}


def main(folder: Path) -> None:
    """Write one file a record into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, record in RECORDS.items():
        (folder / f"{name}.schema.json").write_text(json.dumps(schema_of(record), indent=2) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
