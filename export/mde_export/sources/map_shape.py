"""One map a frame, in the shapes that networks give it: which axes are left out to read an output as (N, h, w)."""

from collections.abc import Iterable
from dataclasses import dataclass

from mde_runtime.errors import BadInputError

Shape = tuple[int, ...]
AXES = "(N, 1, h, w) or (N, h, w)"


@dataclass(frozen=True)
class Reading:
    """How an output is read as a map. has_batch: axis 0 counts frames; where it does not, one is put in front.

    channel: the one of axis 1 that is the map, of (N, c, h, w); None: there is but one.
    """

    drop: tuple[int, ...]  # axes of length 1 that go
    has_batch: bool
    channel: int | None = None

    @property
    def is_plain(self) -> bool:
        """Whether the output is a map as it comes."""
        return self.has_batch and not self.drop and self.channel is None


def name_and_channel(asked: str | None, names: Iterable[str]) -> tuple[str | None, int | None]:
    """What --output says: points:2 is channel 2 of `points`, unless an output is called points:2."""
    if asked is None or asked in names:
        return asked, None
    name, _, channel = asked.rpartition(":")
    return (name, int(channel)) if name and channel.isdecimal() and channel.isascii() else (asked, None)


def reading_of(shape: Shape) -> Reading | None:
    """The one way to read the output for a single frame as a map; None where there is none, or more than one.

    (1, 1, h, w) and (1, h, w) as they are; (1, h, w, 1) without its last axis; and any other shape that has two axes
    longer than 1, height before width, such as (h, w) and (h, w, 1), which then holds one frame and never more.
    """
    if len(shape) in (3, 4) and shape[: len(shape) - 2] in ((1,), (1, 1)):
        return Reading((), True)
    if len(shape) == 4 and shape[0] == shape[3] == 1:
        return Reading((3,), True)
    short = tuple(axis for axis, length in enumerate(shape) if length == 1)
    return Reading(short, False) if len(shape) - len(short) == 2 else None


def checked_reading(shape: Shape, channel: int | None, is_batch_open: bool, where: str) -> Reading:
    """As `reading_of`, for the output that was chosen. Raises BadInputError that says what it is instead of a map."""
    if channel is not None:
        return _of_channel(shape, channel, where)
    reading = reading_of(shape)
    if reading is None:
        raise BadInputError(
            f"{where}: gives {shape}, not one map a frame: {AXES}; name another output with --output, one of its "
            "channels (--output NAME:2), or return the map alone"
        )
    size = tuple(length for axis, length in enumerate(shape) if axis not in reading.drop)[-2:]
    if size == (1, 1):
        raise BadInputError(
            f"{where}: gives {shape}, a map of 1x1: one number a frame and no depth map; name another output with "
            "--output, or return the map itself"
        )
    if is_batch_open and not reading.has_batch:
        raise BadInputError(
            f"{where}: gives {shape} for one frame, without an axis of frames; return {AXES}, or leave --batch out"
        )
    return reading


def _of_channel(shape: Shape, channel: int, where: str) -> Reading:
    if len(shape) != 4:
        raise BadInputError(f"{where}: gives {shape}, and only (N, c, h, w) has channels; leave :{channel} out")
    if channel >= shape[1]:
        raise BadInputError(f"{where}: gives {shape}, which has no channel {channel}; name one of 0 to {shape[1] - 1}")
    return Reading((), True, channel)
