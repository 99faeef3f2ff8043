"""The size of the camera's frames, where nobody says it: the commonest of the frames to judge on, else 480x640."""

import functools
from collections import Counter
from pathlib import Path

from mde_runtime.errors import BadInputError
from mde_runtime.evenly_spaced import evenly_spaced
from mde_runtime.sources import open_sources

Size = tuple[int, int]  # height, width; px

DEFAULT: Size = (480, 640)  # VGA: what most depth cameras and many webcams give
NUM_LOOKED_AT = 64  # of a folder's pictures: as many as are judged on
SAME_ASPECT = 0.01  # of the aspect: what rounding of sides does


def source_size_of(asked: Size | None, frames: Path | None) -> tuple[Size, str]:
    """The size, and where it comes from, in words; empty where it was asked for."""
    if asked is not None:
        return asked, ""
    if frames is None:
        return DEFAULT, f"assumed frames of {DEFAULT[0]}x{DEFAULT[1]} px; pass --source-size for others"
    return _commonest(frames)


def forget() -> None:
    """Look at folders anew: what lies in one may have changed since another export of this process."""
    _commonest.cache_clear()


@functools.lru_cache(maxsize=4)  # asked for the contract, and again for what is said about it
def _commonest(folder: Path) -> tuple[Size, str]:
    counts = Counter(_sizes(folder))
    if not counts:
        raise BadInputError(f"{folder}: contains no readable picture; pass another folder with --frames")
    size, _ = counts.most_common(1)[0]
    aspect = size[1] / size[0]
    num_others = sum(
        count for (height, width), count in counts.items() if abs(width / height / aspect - 1) > SAME_ASPECT
    )
    others = f"; {num_others} of {counts.total()} have another aspect" if num_others else ""
    return size, f"frames are {size[0]}x{size[1]} px, the most common size in {folder.name}{others}"


def _sizes(folder: Path) -> list[Size]:
    from mde_train.data import open_split, splits_of
    from mde_train.data.layouts import layout_of

    try:
        layout_of(folder)
    except BadInputError:
        frames = [frame for source in open_sources([str(folder)]) for frame in source.frames()]
        pictures = (frames[index].read() for index in evenly_spaced(len(frames), NUM_LOOKED_AT))
        return [(picture.shape[0], picture.shape[1]) for picture in pictures]
    samples = open_split(folder, splits_of(folder)[-1])
    pictures = (samples[index].frame for index in evenly_spaced(len(samples), NUM_LOOKED_AT))
    return [(picture.shape[0], picture.shape[1]) for picture in pictures]
