"""The page of the Python names that are public: what a package lists in `__all__`, with docstrings and signatures."""

import inspect
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

PACKAGES = ("mde_runtime", "mde_export")


def write_page(out: Path) -> None:
    """Write `python.md`."""
    (out / "python.md").write_text("\n\n".join(_sections()) + "\n")


def _sections() -> Iterator[str]:
    yield "# Python"
    yield "Everything that a package lists in `__all__`. All else may change without notice."
    for package in PACKAGES:
        yield f"## {package}"
        yield inspect.getdoc(import_module(package)) or ""
        for name, place in public(package):
            yield f"::: {place}.{name}"


def public(package: str) -> Iterator[tuple[str, str]]:
    """The classes and functions of a package's `__all__`, each with the module that defines it."""
    module = import_module(package)
    for name in module.__all__:
        found = getattr(module, name)
        if inspect.isclass(found) or inspect.isfunction(found):
            yield name, found.__module__
