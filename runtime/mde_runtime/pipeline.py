"""Several runs at once: the next inputs go to the device while those before them compute."""

import contextlib
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, TypeVar

import numpy.typing as npt

from mde_runtime.backends import Arrays, Lane
from mde_runtime.prefetch import Ahead

Item = TypeVar("Item")


def overlapped(
    lanes: Sequence[Lane], items: Ahead[Item], feeds_of: Callable[[Item], Mapping[str, npt.NDArray[Any]]]
) -> Generator[Arrays, None, None]:
    """The answer to every item, in order. Never holds an answer back to wait for the next item.

    What reading the items or `feeds_of` raises is raised after the answers to those before.
    """
    idle, busy = deque(lanes), deque[Lane]()

    def answer() -> Arrays:
        idle.append(busy.popleft())
        return idle[-1].finish()

    try:
        while True:
            while busy and not (idle and items.is_ready):
                yield answer()
            try:
                feeds = feeds_of(next(items))
            except StopIteration:
                return
            except Exception:
                while busy:
                    yield answer()
                raise
            lane = idle.popleft()
            lane.start(feeds)
            busy.append(lane)
    finally:
        with contextlib.ExitStack() as left:  # whoever left early; a lane that is at work cannot be started again
            for lane in busy:
                left.callback(lane.drop)
