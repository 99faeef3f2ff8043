"""The way this package was installed, and with it the command that adds an extra or a package to the same place."""

import json
import re
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit
from urllib.request import url2pathname

NAME = "mde-toolchain"
Tool = Literal["pip", "uv pip", "pipx", "uv tool"]


@dataclass(frozen=True, kw_only=True)
class Installation:
    """Which tool made an environment, and where it took this package from."""

    tool: Tool
    environment: str = ""  # pipx's name of it, uv's folder of a tool
    source: str = ""  # a folder or an archive on this machine, or an address; empty: a package index
    is_editable: bool = False
    extras: tuple[str, ...] = ()  # installed already; uv makes the environment of a tool anew

    def adding(self, extra: str) -> str:
        """The command that adds one of our extras, or several with commas between them."""
        extras = tuple(extra.split(","))
        spec = self._spec((*self.extras, *extras) if self.tool == "uv tool" else extras)
        return f"{self._verb} {'-e ' if self.is_editable else ''}'{spec}'"

    def adding_package(self, requirement: str) -> str:
        """The command that adds a package that no extra of ours has."""
        if self.tool == "uv tool":
            return f"{self._verb} '{self._spec(self.extras)}' --with '{requirement}'"
        return f"{self._verb} '{requirement}'"

    def removing(self, *packages: str) -> str:
        """The command that removes packages."""
        verbs: dict[Tool, str] = {
            "pip": "pip uninstall",
            "uv pip": "uv pip uninstall",
            "pipx": f"pipx runpip {self.environment} uninstall",
            "uv tool": f"uv pip uninstall --python '{self.environment}'",
        }
        return f"{verbs[self.tool]} {' '.join(packages)}"

    @property
    def _verb(self) -> str:
        return f"pipx inject {self.environment}" if self.tool == "pipx" else f"{self.tool} install"

    def _spec(self, extras: tuple[str, ...]) -> str:
        chosen = f"[{','.join(dict.fromkeys(extras))}]" if extras else ""
        if "://" in self.source:
            return f"{NAME}{chosen} @ {self.source}"
        return f"{self.source or NAME}{chosen}"


def adding(extra: str) -> str:
    """The command that adds one of our extras to this installation: pip install 'mde-toolchain[cpu]', or its like."""
    return this_installation().adding(extra)


def extra_with(package: str) -> str:
    """The smallest of our extras that has a package; empty where none has it."""
    import importlib.metadata

    try:
        lines = importlib.metadata.requires(NAME) or []
    except importlib.metadata.PackageNotFoundError:
        return ""
    found = [re.match(r"""([\w.-]+).*\bextra == ["'](\w+)""", line) for line in lines]
    listed = [(match[2], match[1].lower().replace("_", "-")) for match in found if match]
    sizes = Counter(extra for extra, _ in listed)
    having = {extra for extra, name in listed if name == package.lower().replace("_", "-")}
    return min(having, key=lambda extra: (sizes[extra], extra), default="")


def this_installation() -> Installation:
    """The installation that runs."""
    import importlib.metadata  # only when something is missing

    try:
        about = importlib.metadata.distribution(NAME)
    except importlib.metadata.PackageNotFoundError:
        return look(Path(sys.prefix), Path(__file__).parents[2], "", "")
    recorded = about.read_text("direct_url.json") or ""
    return look(Path(sys.prefix), Path(__file__).parents[2], recorded, about.read_text("INSTALLER") or "")


def look(prefix: Path, root: Path, recorded: str, installer: str) -> Installation:
    """The installation in the environment `prefix`.

    root: the folder of the clone, where the code runs from one. recorded: direct_url.json of the package; empty for one
    from an index. installer: its INSTALLER file. Source: PEP 610 and PEP 376.
    """
    is_clone = (root / "setup.cfg").is_file() and (root / "runtime").is_dir()
    source = ("." if root == Path.cwd() else str(root)) if is_clone else _source(recorded)
    if (prefix / "pipx_metadata.json").is_file():
        return Installation(tool="pipx", environment=prefix.name, source=source, is_editable=is_clone)
    receipt = prefix / "uv-receipt.toml"
    if receipt.is_file():
        extras = _extras(receipt.read_text(encoding="utf-8"))
        return Installation(tool="uv tool", environment=str(prefix), source=source, is_editable=is_clone, extras=extras)
    return Installation(tool="uv pip" if installer.strip() == "uv" else "pip", source=source, is_editable=is_clone)


def _source(recorded: str) -> str:
    """Where pip or uv took the package from; empty for an index, and for a file that is gone."""
    try:
        record = json.loads(recorded)
        address = urlsplit(record["url"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
    if address.scheme == "file":
        path = url2pathname(address.path)
        return path if Path(path).exists() else ""
    version_control = record.get("vcs_info", {})
    kind, commit = version_control.get("vcs"), version_control.get("commit_id")
    return f"{kind}+{record['url']}@{commit}" if kind and commit else str(record["url"])


def _extras(receipt: str) -> tuple[str, ...]:
    """Our extras in uv's receipt of a tool. Python 3.10 has no reader of TOML."""
    found = re.search(rf'name = "{NAME}", extras = \[([^\]]*)\]', receipt)
    return tuple(re.findall(r'"([^"]+)"', found[1])) if found else ()
