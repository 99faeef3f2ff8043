"""Settings: the `KEY=VALUE` words of `--set`, which change a record's JSON before it is read."""

import json
from collections.abc import Collection, Sequence
from typing import Any

from mde_runtime import records
from mde_runtime.errors import BadInputError, UsageError
from mde_runtime.nearest import did_you_mean
from mde_runtime.numbers import shown


def apply(content: Any, settings: Sequence[str], growing: Collection[str] = ()) -> None:  # Any: JSON
    """Change `content` in place: `lr=1e-3`, `from_network.antialias=false`. A value is JSON, else text.

    growing: the paths of objects that take keys that they do not have. Raises UsageError for any other key that does
    not exist; whether the value is right, the reader of the record says.
    """
    for setting in settings:
        key, equals, text = setting.partition("=")
        *path, last = key.strip().split(".")
        place = content
        for part in path:
            place = place.get(part) if isinstance(place, dict) else None
        if not equals or not isinstance(place, dict) or (last not in place and ".".join(path) not in growing):
            known = place if isinstance(place, dict) else content
            near = did_you_mean(last, known)
            keys = ", ".join(known)
            raise UsageError(f"--set {shown(setting)}: no such key{near}; pass KEY=VALUE with a KEY from {keys}")
        place[last] = _value(setting, text.strip())


def _value(setting: str, text: str) -> object:
    """JSON where it is JSON, else text. Raises UsageError for what no file could hold again."""
    try:
        text.encode()
        json.loads(text)
    except UnicodeEncodeError as error:
        raise UsageError(f"--set {shown(setting)}: not UTF-8; use names that are") from error
    except ValueError:
        return text
    except RecursionError:
        pass  # told below
    try:
        return records.parse(text, "its value")
    except BadInputError as error:
        raise UsageError(f"--set {shown(setting)}: not a value that a file can hold; {error}") from error
