"""Reading ahead: an iterable runs in a thread of its own while what it gave before is worked on."""

import contextlib
import queue
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True)
class _End:
    """The iterable gives nothing more; `error` is what it raised."""

    error: BaseException | None


@contextlib.contextmanager
def reading_ahead(items: Iterable[Item], num_ahead: int) -> Iterator[Iterator[Item]]:
    """Iterate over `items` in order, at most `num_ahead` of them read before their turn. What they raise is raised.

    Leaving the block early stops the reading after the item that is being read.
    """
    waiting: queue.Queue[Item | _End] = queue.Queue(num_ahead)
    is_over = threading.Event()

    def read() -> None:
        end = _End(None)
        try:
            for item in items:
                waiting.put(item)
                if is_over.is_set():
                    return
        except BaseException as error:  # noqa: BLE001  it is raised again where the items are taken
            end = _End(error)
        waiting.put(end)

    def take() -> Iterator[Item]:
        while not isinstance(item := waiting.get(), _End):
            yield item
        if item.error is not None:
            raise item.error

    reader = threading.Thread(target=read, name="reading ahead", daemon=True)
    reader.start()
    try:
        yield take()
    finally:
        is_over.set()
        with contextlib.suppress(queue.Empty):  # make room, so that a reader that waits for it sees that it is over
            while True:
                waiting.get_nowait()
