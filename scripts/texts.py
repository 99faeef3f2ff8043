"""Texts that the product can print or show: help, errors, output, reports. One line each: kind, place, text.

    python scripts/texts.py                     # all four rooms
    python scripts/texts.py --kind help train   # the help texts of one

A text is a literal with a letter and a space in it, or anything in a `help=`; where a value goes, it has `{}`.
Docstrings are left out, except those that click shows as help.
"""

import argparse
import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("train", "export", "runtime", "bench")
SAYING = {"say", "echo", "print", "secho", "tell"}


@dataclass(frozen=True, kw_only=True)
class Text:
    """A text of the product and where it stands."""

    kind: str  # help, error, output or other (tables, reports, parts of messages)
    path: Path
    line: int
    text: str


def texts(room: Path) -> Iterator[Text]:
    """The texts of every module below a folder, in the order of files and lines."""
    for path in sorted(room.rglob("*.py")):
        for kind, line, text in texts_of(path.read_text()):
            yield Text(kind=kind, path=path, line=line, text=text)


def texts_of(source: str) -> list[tuple[str, int, str]]:
    """Kind, line and text of each text in a module's source."""
    tree = ast.parse(source)
    passed_over = _docstrings(tree)
    return sorted(_below(tree, "other", passed_over), key=lambda row: row[1])


def _below(node: ast.AST, kind: str, passed_over: set[int]) -> Iterator[tuple[str, int, str]]:
    """The texts in a node, where `kind` is what the calls around it make of them."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and _is_command(node):
        shown = ast.get_docstring(node)
        if shown:
            yield "help", node.lineno, shown
    if isinstance(node, (ast.Constant, ast.JoinedStr)):
        text = _words(node)
        if id(node) not in passed_over and _is_text(text, kind):
            yield kind, node.lineno, text
        if isinstance(node, ast.Constant):
            return
    for field, value in ast.iter_fields(node):
        if field in {"annotation", "returns"}:
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(node, ast.JoinedStr) and isinstance(child, ast.Constant):
                continue  # a part of the text above
            if isinstance(child, ast.AST):
                yield from _below(child, _kind_within(node, kind), passed_over)


def _kind_within(node: ast.AST, kind: str) -> str:
    """The kind of the texts inside a node: of the innermost call that says it."""
    if isinstance(node, ast.keyword) and node.arg in {"help", "short_help", "epilog"}:
        return "help"
    if isinstance(node, ast.Call):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name.endswith(("Error", "Exception")) or name == "fail":
            return "error"
        if name in SAYING:
            return "output"
    return kind


def _words(node: ast.Constant | ast.JoinedStr) -> str:
    """A literal's text, with `{}` where a value goes; empty where it is a number or bytes."""
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return node.value if isinstance(node.value, str) else ""


def _is_text(text: str, kind: str) -> bool:
    return any(letter.isalpha() for letter in text) and (kind == "help" or " " in text.strip())


def _is_command(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether a decorator makes a click command of a function, so that its docstring is its help."""
    called = [each.func if isinstance(each, ast.Call) else each for each in function.decorator_list]
    return any(isinstance(each, ast.Attribute) and each.attr in {"command", "group"} for each in called)


def _docstrings(tree: ast.AST) -> set[int]:
    """The nodes of literals that stand alone as a statement: docstrings, wherever they are."""
    return {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}


def main() -> None:
    """Print the texts, or how many there are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rooms", nargs="*", default=ROOMS, help="train, export, runtime, bench (default: all)")
    parser.add_argument("--kind", choices=["help", "error", "output", "other"])
    parser.add_argument("--count", action="store_true", help="print only how many there are of each kind")
    arguments = parser.parse_args()
    found = [text for room in arguments.rooms for text in texts(ROOT / room) if arguments.kind in (None, text.kind)]
    if arguments.count:
        kinds = [text.kind for text in found]
        lines = [f"{kind}\t{kinds.count(kind)}" for kind in sorted(set(kinds))] + [f"all\t{len(kinds)}"]
    else:
        lines = [f"{each.kind}\t{_place(each)}\t{' '.join(each.text.split())}" for each in found]
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def _place(text: Text) -> str:
    return f"{text.path.relative_to(ROOT)}:{text.line}"


if __name__ == "__main__":
    main()
