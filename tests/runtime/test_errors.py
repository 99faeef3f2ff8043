import pytest

from mde_runtime import BadInputError
from mde_runtime.errors import one_line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b]0;owned\x07b", r"a\x1b]0;owned\x07b"),
        ("a\x9b2Jb", r"a\x9b2Jb"),
        ("photo\u202egpj.exe", r"photo\u202egpj.exe"),
        ("not\udcff UTF-8", r"not\udcff UTF-8"),
        ("first\n  second\r\nthird\u2028fourth", "first second third fourth"),
    ],
)
def test_what_could_command_a_terminal_is_shown_as_an_escape_and_lines_are_joined(text, shown):
    assert one_line(text) == shown
    assert str(BadInputError(f"x.png: {text}; copy it again")) == f"x.png: {shown}; copy it again"


@pytest.mark.parametrize("text", ["", "plain", "Straße 深度  two spaces", "back\\slash"])
def test_what_can_be_printed_is_left_as_it_is(text):
    assert one_line(text) == text
