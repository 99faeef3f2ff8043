"""Tables and facts fit the terminal; a word is never broken, so that commands and paths can be copied."""

import pytest

from mde_runtime.cli.tables import fact, table

HEADER = ("backend", "verdict", "reason")
LONG = "a sentence of many small words that goes on and on until no terminal holds it on one line any more"
PATH = "/a/path/that/is/longer/than/any/terminal/of/eighty/columns/can/show/on/one/line/of/its/own/x.onnx"


def test_what_fits_stays_a_line_a_row():
    assert table(HEADER, [("one", "passed", "fine")], width=80).splitlines() == [
        "backend  verdict  reason",
        "one      passed   fine",
    ]


def test_a_long_last_cell_is_folded_in_its_column():
    lines = table(HEADER, [("one", "passed", LONG), ("two", "passed", "fine")], width=60).splitlines()
    assert max(map(len, lines)) <= 60
    starts = [line[:18].strip() for line in lines]
    assert (starts[:2], set(starts[2:-1]), starts[-1]) == (
        ["backend  verdict", "one      passed"],
        {""},
        "two      passed",
    )
    assert " ".join(line[18:].strip() for line in lines[1:-1]) == LONG


def test_where_the_column_is_too_narrow_it_goes_below_the_row():
    lines = table(HEADER, [("one", "passed", LONG)], width=40).splitlines()
    assert max(map(len, lines)) <= 40
    assert lines[:3] == ["backend  verdict", "    reason", "one      passed"]
    assert " ".join(line.strip() for line in lines[3:]) == LONG


def test_an_empty_last_cell_below_a_row_leaves_no_line_of_blanks():
    assert "" not in table(HEADER, [("one", "passed", LONG), ("two", "passed", "")], width=40).splitlines()


def test_a_path_is_never_broken():
    assert PATH in table(HEADER, [("one", "passed", f"see {PATH} there")], width=60)
    assert PATH in fact(f"made by {PATH}", indent=8, width=60)


def test_a_long_fact_is_folded_below_its_name():
    first, *others = fact(f"made by {LONG}", indent=8, width=60).splitlines()
    assert first.startswith("made by a sentence")
    assert others
    assert all(line.startswith(" " * 8) and len(line) <= 60 for line in others)


@pytest.mark.parametrize("columns", [None, "50"])
def test_a_program_that_reads_gets_a_line_a_row_unless_it_says_how_wide_it_is(monkeypatch, columns):
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns:
        monkeypatch.setenv("COLUMNS", columns)
    lines = table(HEADER, [("one", "passed", LONG)]).splitlines()
    assert (len(lines) == 2) == (columns is None)
