"""The layouts that data sets come in. A new one is a file here and a row of `mde_train.layout_table`."""

import importlib
from pathlib import Path
from typing import Protocol

from mde_runtime.errors import BadInputError
from mde_train.data.samples import FrameSet
from mde_train.layout_table import LAYOUTS


class Layout(Protocol):
    """How a data set lies on disk."""

    def matches(self, root: Path) -> bool:
        """Whether the folder has this layout."""

    def splits(self, root: Path) -> tuple[str, ...]:
        """The splits that the folder holds, training first."""

    def open_split(self, root: Path, split: str) -> FrameSet:
        """The split's samples, in the data set's own order, the doubtful ones among them."""


def layout_of(root: Path) -> Layout:
    """The layout that the folder has. Raises as `name_of_layout`."""
    layout: Layout = importlib.import_module(LAYOUTS[name_of_layout(root)].module)
    return layout


def name_of_layout(root: Path) -> str:
    """The layout's name in the table. Raises BadInputError when there is no folder, or it has none that we know."""
    if not root.exists():
        raise BadInputError(f"{root}: no such folder; make a data set there with mde-data synth {root}")
    for name, row in LAYOUTS.items():
        if importlib.import_module(row.module).matches(root):
            return name
    raise BadInputError(f"{root}: not a supported layout ({', '.join(LAYOUTS)}); see mde-data check --help")
