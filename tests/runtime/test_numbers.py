import pytest

from mde_runtime import numbers


@pytest.mark.parametrize(("text", "number"), [("7", 7), ("-7", -7), ("+7", 7), ("  7 ", 7), ("007", 7)])
def test_a_whole_number_is_read(text, number):
    assert numbers.whole(text) == number


@pytest.mark.parametrize("text", ["", "1.0", "1e3", "0x10", "1_000", "\u0661", "nan", "9" * 19, "1 2", "--1"])
def test_no_other_text_is_a_whole_number(text):
    with pytest.raises(ValueError, match="is not a whole number"):
        numbers.whole(text)


@pytest.mark.parametrize(("text", "number"), [("7", 7.0), ("-0.5", -0.5), ("1e3", 1000.0), (" .5", 0.5)])
def test_a_real_number_is_read(text, number):
    assert numbers.real(text) == number


@pytest.mark.parametrize("text", ["", "nan", "-inf", "infinity", "1e39", "1e999", "9" * 5000, "1_000", "1,5", "a"])
def test_no_other_text_is_a_real_number(text):
    with pytest.raises(ValueError, match="is not a finite number") as caught:
        numbers.real(text)
    assert len(str(caught.value)) < 100
