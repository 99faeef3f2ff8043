"""Numbers as people write them, in an option, a recipe or a list: finite, in range, and short enough to be repeated."""

import math
import re

MOST_WHOLE = 2**31 - 1  # libraries count in 32 bits
MOST_REAL = 3.4e38  # float32's; every graph computes in it
WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
MOST_LETTERS = 40  # of a text that an error repeats


def whole(text: str) -> int:
    """A whole number of at most 18 digits. Raises ValueError for any other text."""
    if not WHOLE.fullmatch(text.strip()):
        raise ValueError(f"{shown(text)} is not a whole number, or too large")
    return int(text)


def real(text: str) -> float:
    """A finite number that float32 holds. Raises ValueError for any other text: NaN, infinity, 1_000."""
    try:
        number = float(text) if "_" not in text else math.nan
    except ValueError:
        number = math.nan
    if not abs(number) <= MOST_REAL:
        raise ValueError(f"{shown(text)} is not a finite number, or too large")
    return number


def shown(text: str) -> str:
    """A text in quotes, cut short: nobody wants 5000 digits back."""
    return repr(text if len(text) <= MOST_LETTERS else f"{text[: MOST_LETTERS - 3]}...")
