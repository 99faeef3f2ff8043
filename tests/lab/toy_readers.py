"""Readers with faults, which the fuzzing must find. In a file of their own: they run in another process."""

import os

from mde_runtime.errors import BadInputError


def divides(path):
    """Divides by the fourth byte of what begins right."""
    content = path.read_bytes()
    if content[:3] != b"toy":
        raise BadInputError("no toy; take another")
    if len(content) > 3:
        1 / content[3]


def ends_the_process(path):
    """Ends like a crash in C where a file is empty."""
    if not path.read_bytes():
        os.abort()


def has_two_faults(path):
    """Raises one thing for long files, another for files with a high byte."""
    content = path.read_bytes()
    if len(content) > 10:
        raise KeyError("long")
    if content and max(content) >= 200:
        raise ZeroDivisionError("high")


def reads_all(path):
    """Has no fault."""
    path.read_bytes()
