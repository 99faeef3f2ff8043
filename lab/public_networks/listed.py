"""The list of public networks, networks.toml: repository, and what its contract leaves open."""

import sys
from dataclasses import dataclass
from pathlib import Path

from mde_export.request.described import Described
from mde_export.request.request import PUBLISHED, Request, Size

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True)
class Entry:
    """A network of the list."""

    name: str
    repository: str
    scale: float | None = None
    shift: float | None = None
    range_m: tuple[float, float] | None = None
    focal_px: float | None = None

    def request(self, source_size: Size) -> Request:
        """Its export."""
        return Request(
            f"{PUBLISHED}{self.repository}",
            source_size=source_size,
            scale=self.scale,
            shift=self.shift,
            focal_px=self.focal_px,
            described=Described(range_m=self.range_m and (self.range_m[0], self.range_m[1])),
        )


def read_list(path: Path) -> list[Entry]:
    """Its entries, in order."""
    return [Entry(**entry) for entry in tomllib.loads(path.read_text())["network"]]
