"""Folders of frames and folders of depth whose files have the same names."""

from collections.abc import Iterable
from pathlib import Path

from mde_runtime.errors import BadInputError


def by_name(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """The folder's files with one of the suffixes, by their stems. Raises BadInputError where there is none."""
    if not folder.is_dir():
        raise BadInputError(f"{folder}: no such folder; mde-data check --help shows how each layout lies on disk")
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in suffixes or path.name.startswith("."):
            continue
        if path.stem in files:
            raise BadInputError(f"{path}: {files[path.stem].name} has the same name; keep one of them")
        files[path.stem] = path
    if not files:
        raise BadInputError(f"{folder}: no {' or '.join(suffixes)} file; is the data set unpacked?")
    return files


def check_paired(frame_folder: Path, frames: dict[str, Path], depth_folder: Path, depths: dict[str, Path]) -> None:
    """Raise BadInputError when a frame has no depth, or a depth no frame."""
    for folder, these, others, what in (
        (frame_folder, frames, depths, "depth"),
        (depth_folder, depths, frames, "frame"),
    ):
        lonely = in_order(set(these) - set(others))
        if lonely:
            raise BadInputError(
                f"{folder}: {len(lonely)} of {len(these)} files have no {what}, the first is {these[lonely[0]].name}; "
                "copy the data set again, or remove them"
            )


def in_order(names: Iterable[str]) -> list[str]:
    """Numbers by their value, then whatever is not a number."""
    return sorted(names, key=lambda name: (int(name) if name.isdecimal() else float("inf"), name))
