"""An error is one line that says what is wrong, where, and after `;` what to do."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import mde_export
import mde_runtime

KINDS = {"BadInputError", "MachineError", "UsageError", "VerdictError", "MeasurementError"}
FILES = [
    path for package in (mde_runtime, mde_export) for path in sorted(Path(str(package.__file__)).parent.rglob("*.py"))
]


def messages(source: str) -> Iterator[str]:
    """The messages of a module's errors, with `{}` where a value goes; not those that a function makes."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in KINDS and node.args:
            message = node.args[0]
            if isinstance(message, ast.Constant):
                yield str(message.value)
            elif isinstance(message, ast.JoinedStr):
                yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in message.values)


def test_a_message_without_a_remedy_would_be_found():
    assert list(messages('raise BadInputError(f"{path}: no such file")')) == ["{}: no such file"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_error_says_what_to_do(path):
    assert [message for message in messages(path.read_text()) if ";" not in message] == []
