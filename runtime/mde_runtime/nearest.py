"""The nearest known name to a mistyped one."""

from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` (did you mean 'fast'?)` for a word that is close to a known one, to be put behind it; else empty."""
    import difflib  # needed by a mistake alone

    near = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
