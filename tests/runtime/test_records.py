import json
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from mde_runtime import BadInputError, records


@dataclass(frozen=True)
class Lens:
    name: str
    focal_px: float
    shape: tuple[int, int]
    rows: tuple[float, ...]
    kind: Literal["wide", "tele"]
    is_new: bool
    notes: dict[str, str]
    maker: str | None
    origin: Any


LENS = Lens("a", 1.5, (3, 4), (0.5, 1.0, 2.0), "wide", True, {"b": "ä"}, None, {"any": [1, "JSON", None]})
JSON = records.to_json(LENS)


def test_a_record_comes_back_as_it_was():
    assert records.loads(Lens, records.dumps(LENS), "lens") == LENS


def test_the_same_record_gives_the_same_text():
    assert records.dumps(LENS) == records.dumps(records.loads(Lens, records.dumps(LENS), "lens"))


def test_a_whole_number_serves_as_a_number():
    assert records.from_json(Lens, {**JSON, "focal_px": 2}, "lens").focal_px == 2.0


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"colour": "red"}, "lens: unknown key 'colour'; the keys are name, focal_px"),
        ({"name": 3}, r"lens\.name: text is expected, not int '3'"),
        ({"focal_px": "1.5"}, r"lens\.focal_px: a number is expected"),
        ({"focal_px": True}, r"lens\.focal_px: a number is expected"),
        ({"focal_px": float("nan")}, r"lens\.focal_px: nan is not a finite number"),
        ({"focal_px": 10**400}, r"lens\.focal_px: inf is not a finite number"),
        ({"shape": [3]}, r"lens\.shape: 1 values where 2 are expected"),
        ({"shape": [3, 4.5]}, r"lens\.shape\[1\]: a whole number is expected"),
        ({"shape": [3, True]}, r"lens\.shape\[1\]: a whole number is expected"),
        ({"rows": 1.0}, r"lens\.rows: a list is expected"),
        ({"kind": "fish"}, r"lens\.kind: 'fish' is not one of wide, tele"),
        ({"is_new": 1}, r"lens\.is_new: true or false is expected"),
        ({"notes": []}, r"lens\.notes: an object is expected"),
        ({"notes": {"b": 1}}, r"lens\.notes\.b: text is expected"),
        ({"maker": 1}, r"lens\.maker: text is expected"),
    ],
)
def test_a_wrong_value_is_an_error_that_names_its_place(change, complaint):
    with pytest.raises(BadInputError, match=complaint):
        records.from_json(Lens, {**JSON, **change}, "lens")


def test_a_missing_key_is_an_error_that_names_it():
    with pytest.raises(BadInputError, match="lens: the key 'maker' is missing"):
        records.from_json(Lens, {key: value for key, value in JSON.items() if key != "maker"}, "lens")


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", "[" * 100_000])
def test_what_is_no_record_is_an_error(text):
    with pytest.raises(BadInputError, match="lens: "):
        records.loads(Lens, text, "lens")


@pytest.mark.parametrize(
    ("origin", "complaint"),
    [
        ('"\\ud800"', r"lens: '\\ud800' is not valid Unicode"),
        ('{"\\udfff": 1}', r"lens: '\\udfff' is not valid Unicode"),
        ("[" * 600 + "]" * 600, "lens: more than 100 nested lists and objects"),
        ("NaN", r"lens\.origin: not JSON"),
        ("[-1e999]", r"lens\.origin: not JSON"),
    ],
)
def test_what_could_not_be_written_again_is_an_error(origin, complaint):
    text = json.dumps({**JSON, "origin": 0}).replace('"origin": 0', f'"origin": {origin}')
    with pytest.raises(BadInputError, match=complaint):
        records.loads(Lens, text, "lens")


def test_what_is_nested_as_deep_as_allowed_can_be_written_again():
    text = json.dumps({**JSON, "origin": 0}).replace('"origin": 0', f'"origin": {"[" * 99 + "]" * 99}')
    read = records.loads(Lens, text, "lens")
    assert records.loads(Lens, records.dumps(read), "lens") == read


def test_a_number_that_json_cannot_say_is_not_written():
    with pytest.raises(ValueError, match="not JSON compliant"):
        records.dumps({"depth_m": float("inf")})


@pytest.mark.parametrize(
    "doubled", ['{"a": 1, "a": 1}', '{"a": 1, "b": {"c": 1, "d": 2, "c": 3}}', '[{"\\u0061": 1, "a": 2}]']
)
def test_a_key_that_is_there_twice_is_an_error_that_names_it(doubled):
    with pytest.raises(BadInputError, match=r"lens: not JSON \(the key '[ac]' appears twice"):
        records.parse(doubled, "lens")


def test_one_key_in_two_objects_is_no_double():
    assert records.parse('{"a": {"a": 1}, "b": {"a": 2}}', "lens") == {"a": {"a": 1}, "b": {"a": 2}}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "utf-32-be", "utf-8-sig", "latin-1"])
def test_json_in_another_encoding_than_utf_8_is_an_error(encoding):
    with pytest.raises(BadInputError, match="lens: not JSON"):
        records.loads(Lens, records.dumps(LENS).encode(encoding), "lens")


def test_text_that_would_command_a_terminal_is_written_as_escapes_and_comes_back():
    said = "a\x1b[2J\x9b31m\u202eb\ufeff\U000e0001 ä深"
    text = records.dumps({"name": said})
    assert all(character.isprintable() or character == "\n" for character in text)
    assert "ä深" in text
    assert records.parse(text, "said") == {"name": said}
