"""An error is one line that says what is wrong, where, and after `;` what to do."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import mde_export
import mde_runtime

KINDS = {"BadInputError", "MachineError", "UsageError", "VerdictError", "MeasurementError"}
WORD = re.compile("[A-Za-z]{2}")
FILES = [
    path for package in (mde_runtime, mde_export) for path in sorted(Path(str(package.__file__)).parent.rglob("*.py"))
]


def messages(source: str) -> Iterator[str]:
    """The messages of a module's errors, with `{}` where a value goes; not those that a function or a value makes."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in KINDS and node.args:
            message = node.args[0]
            if isinstance(message, (ast.Constant, ast.JoinedStr)) and WORD.search(text_of(message)):
                yield text_of(message)


def text_of(node: ast.AST) -> str:
    """A literal text, with `{}` where a value goes; empty for what is none."""
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) or "{}" for part in node.values)
    return str(node.value) if isinstance(node, ast.Constant) else ""


EXPORT_OF_A_BUNDLE = re.compile(r"mde-export (?:\{\}|\S+\.mde) --[^;]*")


def exports_of_bundles(source: str) -> list[str]:
    """The commands in a module's texts that make a bundle of a bundle, with `{}` where a value goes."""
    nodes = list(ast.walk(ast.parse(source)))
    parts = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
    texts = [text_of(node) for node in nodes if id(node) not in parts]
    return [command for text in texts for command in EXPORT_OF_A_BUNDLE.findall(text)]


def test_a_message_without_a_remedy_would_be_found():
    assert list(messages('raise BadInputError(f"{path}: no such file")')) == ["{}: no such file"]
    assert list(messages('raise BadInputError(f"{path}: {why}")')) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_error_says_what_to_do(path):
    assert [message for message in messages(path.read_text()) if ";" not in message] == []


def test_an_export_of_a_bundle_would_be_found():
    source = 'f"{path}: no; add it: mde-export {path.name} --{precision}"; "or mde-export model.mde --fp16"'
    assert exports_of_bundles(source) == ["mde-export {} --{}", "mde-export model.mde --fp16"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_bundle_is_never_to_be_exported_over_itself(path):
    assert [command for command in exports_of_bundles(path.read_text()) if " -o " not in command] == []
