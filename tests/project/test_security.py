"""SECURITY.md: every promise names tests that exist."""

import re


def rows(root):
    """Promise, how it is kept, what holds it and what is not promised, of every row of the table."""
    lines = [line for line in (root / "SECURITY.md").read_text().splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_every_promise_says_how_it_is_kept_and_names_a_test(root):
    assert rows(root)
    for promise, how, held_by, _ in rows(root):
        assert promise and how, (promise, how)  # noqa: PT018  one row, one reason
        assert re.fullmatch(r"`[\w/]+\.py::test_\w+`(, `[\w/]+\.py::test_\w+`)*", held_by), promise


def test_every_test_that_a_promise_names_is_there(root):
    named = [name for _, _, held_by, _ in rows(root) for name in re.findall(r"`(.*?)`", held_by)]
    for name in named:
        file, _, function = name.partition("::")
        assert f"\ndef {function}(" in (root / "tests" / file).read_text(), name
