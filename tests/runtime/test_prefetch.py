import itertools
import threading
import time

import pytest

from mde_runtime.prefetch import reading_ahead


def test_what_was_not_taken_in_time_is_dropped_where_the_newest_is_wanted():
    has_given_three, goes_on = threading.Event(), threading.Event()

    def camera():
        yield from (0, 1, 2)
        has_given_three.set()
        goes_on.wait(10)
        yield 3
        raise ConnectionError("unplugged")

    with reading_ahead(camera(), 1, drops=True) as ahead:
        assert has_given_three.wait(10)
        assert next(ahead) == 2
        goes_on.set()
        assert next(ahead) == 3
        with pytest.raises(ConnectionError, match="unplugged"):
            next(ahead)


def readers():
    return [thread for thread in threading.enumerate() if thread.name == "reading ahead"]


@pytest.mark.parametrize("num_ahead", [1, 2, 5])
@pytest.mark.parametrize("num_items", [1, 2, 3, 6, None])
@pytest.mark.parametrize("pause_s", [0.0, 0.01])  # too early for the reader to wait for room, and late enough
def test_whoever_leaves_early_leaves_no_reader_behind(num_ahead, num_items, pause_s):
    items = itertools.count() if num_items is None else range(num_items)
    with reading_ahead(items, num_ahead) as ahead:
        assert next(ahead) == 0
        time.sleep(pause_s)
    for reader in readers():
        reader.join(5)
    assert readers() == []
