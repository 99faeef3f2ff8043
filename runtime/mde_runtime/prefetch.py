"""Reading ahead: an iterable runs in a thread of its own while what it gave before is worked on."""

import contextlib
import queue
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from mde_runtime.forks import Home

Item = TypeVar("Item")


@dataclass(frozen=True)
class _End:
    """The iterable gives nothing more; `error` is what it raised."""

    error: BaseException | None


class Ahead(Generic[Item]):
    """The items in order. What the iterable raised is raised after the last of them."""

    def __init__(self, waiting: "queue.Queue[Item | _End]", home: Home):
        self._waiting, self._home = waiting, home
        self._next: list[Item | _End] = []  # taken from the queue by a look at it, one at most

    @property
    def is_ready(self) -> bool:
        """Whether an item is there already, so that taking it waits for nothing."""
        self._home.check()
        if not self._next:
            with contextlib.suppress(queue.Empty):
                self._next.append(self._waiting.get_nowait())
        return bool(self._next) and not isinstance(self._next[0], _End)

    def __iter__(self) -> "Ahead[Item]":
        return self

    def __next__(self) -> Item:
        self._home.check()  # nobody reads in a forked process
        item = self._next.pop() if self._next else self._waiting.get()
        if not isinstance(item, _End):
            return item
        self._next.append(_End(None))  # however often it is asked after the end
        raise StopIteration if item.error is None else item.error


@contextlib.contextmanager
def reading_ahead(items: Iterable[Item], num_ahead: int, *, drops: bool = False) -> Iterator[Ahead[Item]]:
    """Iterate over `items` in order, at most `num_ahead` of them read before their turn.

    drops: never wait for room, but let go of the item that has waited longest: a camera's newest frames matter.
    Leaving the block early stops the reading after the item that is being read.
    """
    waiting: queue.Queue[Item | _End] = queue.Queue(num_ahead)
    is_over = threading.Event()
    home = Home()

    def read() -> None:
        end = _End(None)
        try:
            for item in items:
                if drops and waiting.full():
                    with contextlib.suppress(queue.Empty):  # it was taken just now
                        waiting.get_nowait()
                waiting.put(item)
                if is_over.is_set():
                    return
        except BaseException as error:  # noqa: BLE001  it is raised again where the items are taken
            end = _End(error)
        waiting.put(end)

    reader = threading.Thread(target=read, name="reading ahead", daemon=True)
    reader.start()
    try:
        yield Ahead(waiting, home)
    finally:
        if not home.is_elsewhere:  # else the reader may have held the queue's lock when it was lost
            is_over.set()
            with contextlib.suppress(queue.Empty):  # make room, so that a reader that waits for it sees that it is over
                while True:
                    waiting.get_nowait()
