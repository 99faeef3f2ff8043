"""Evenly spaced picks of a sequence: which frames stand for all of them."""

import numpy as np


def evenly_spaced(count: int, most: int) -> list[int]:
    """At most `most` of the indices 0 to count - 1, both ends among them, as far apart as they can be, in order."""
    picked: list[int] = np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(int)).tolist()
    return picked
