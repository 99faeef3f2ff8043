"""The check before a release: `.github/workflows/release.yml` asks it whether this tree may be published as a tag.

    python scripts/release.py v0.1.0

Standard library only. Prints what is missing, one line each; the exit code is 1 when something is.
"""

from __future__ import annotations

import configparser
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main(arguments: list[str]) -> int:
    """Print the reasons against releasing as the given tag; give the exit code."""
    if len(arguments) != 1:
        sys.stderr.write("give the tag: python scripts/release.py v0.1.0\n")
        return 2
    found = list(missing(ROOT, arguments[0]))
    sys.stderr.write("".join(f"{line}\n" for line in found))
    return 1 if found else 0


def missing(root: Path, tag: str) -> Iterator[str]:
    """The reasons against releasing the tree as `tag`, each with its remedy."""
    (version,) = _found(r'^__version__ = "(.+)"$', root / "runtime" / "mde_runtime" / "__init__.py")
    if tag != f"v{version}":
        yield f"the tag is {tag}, but __version__ in runtime/mde_runtime/__init__.py is {version}; make them agree"
    if version not in _found(r"^## \[([\d.]+)\] - \d{4}-\d{2}-\d{2}$", root / "CHANGELOG.md"):
        yield f'CHANGELOG.md has no heading "## [{version}] - YYYY-MM-DD"; rename "## [Unreleased]" to it'
    if _found(r"^version: (\S+)$", root / "CITATION.cff") != [version]:
        yield f"CITATION.cff has another version; write {version}"
    settings = configparser.ConfigParser()
    settings.read(root / "setup.cfg", encoding="utf-8")
    for key in ("author", "author_email", "project_urls"):
        if not settings["metadata"].get(key):
            yield f"setup.cfg has no {key}; fill in the commented lines of [metadata]"


def _found(pattern: str, path: Path) -> list[str]:
    return re.findall(pattern, path.read_text(encoding="utf-8"), re.MULTILINE)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
