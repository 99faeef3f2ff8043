"""The nearest known name to a mistyped one."""

from collections.abc import Iterable

ALIKE = 0.76  # share of letters in common: fp64 and fp16, with 0.75, are no slip of a finger


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` (did you mean 'fast'?)` for a word that is close to a known one, to be put behind it; else empty."""
    import difflib  # needed by a mistake alone

    near = difflib.get_close_matches(word, list(known), n=1, cutoff=ALIKE)
    return f" (did you mean {near[0]!r}?)" if near else ""
