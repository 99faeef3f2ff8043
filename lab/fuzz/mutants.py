"""Mutants of files: hypothesis draws a file of the corpus and a list of edits to it.

So a finding shrinks to the fewest and plainest edits that show it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from lab.fuzz import edits
from lab.fuzz.edits import Edit

MOST_EDITS = 4
INTERESTING = (0, 1, 2, 3, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63 - 1)
ODD_WORDS = (
    *("", "0", "-1", "nan", "inf", "1e999", "1_000", "9" * 5000, "0x10", "1.5", "..", "/", "/etc/passwd", "a/../../b"),
    *("\0", "\x1b[31m", "\u2028", "\ufeff", "\u0663", "None", ",", ".,.", " ", "x" * 300, "[" * 2000, '"', "#"),
)
ODD_VALUES: tuple[Any, ...] = (2**31, 2**70, -0.0, 1e308, 1e-320, "\ud800", "\x1b[31m", "x" * 3000, {"": 0}, [[]] * 3)
ODD_HEADERS = (  # words of an .npy header
    *("'|O'", "True", "()", "(24,)", "-1", "2**62", "b'x'", "[]", "'<f8'", "'>f4'", "'<f2'", "(" * 90, "1e3", ""),
    *("None", "[('a', '<f4')]", "'<M8[s]'", "'|V4'", "(2**40, 1)", "'<f4', 'descr': '<i4'"),
)
HEADER_WORDS = ("'<f4'", "False", "(24, 32)", "'descr'", "24", "{", "}", "'", "f4", ", ")
ODD_CHUNKS = (b"tRNS", b"PLTE", b"eXIf", b"zTXt", b"acTL", b"iCCP", b"gAMA")
Edits = SearchStrategy[Edit]


@dataclass(frozen=True)
class Mutant:
    """A file of the corpus after some edits."""

    seed: int  # which file of the corpus
    edits: Sequence[Edit]
    content: bytes = field(repr=False)


def mutants(seeds: Sequence[bytes], likely: Edits) -> SearchStrategy[Mutant]:
    """Any of the seeds after up to four edits: likely ones, and now and then the end of another seed put in."""

    def mutant(seed: int, chosen: list[Edit]) -> Mutant:
        content = seeds[seed]
        for edit in chosen:
            content = edit(content)
        return Mutant(seed, chosen, content)

    splices = drawn(edits.splice, PLACES, PLACES, st.integers(0, len(seeds) - 1).map(lambda number: seeds[number]))
    several = st.lists(likely | likely | likely | splices, max_size=MOST_EDITS)
    return st.builds(mutant, st.integers(0, len(seeds) - 1), several)


def drawn(function: Callable[..., bytes], *arguments: SearchStrategy[Any]) -> Edits:
    """Edits by one function."""
    return st.tuples(*arguments).map(lambda chosen: Edit(function, chosen))


PLACES = st.integers(0, (1 << 24) - 1)  # modulo what there is
SIZES = st.sampled_from((1, 2, 4, 8, 64, 1024))
NUMBERS = st.builds(
    lambda number, size, order: (number % (1 << 8 * size)).to_bytes(size, order),
    st.sampled_from(INTERESTING), st.sampled_from((1, 2, 4, 8)), st.sampled_from(("little", "big")),
)  # fmt: skip
BYTES = st.one_of(
    drawn(edits.flip, PLACES, st.integers(0, 7)),
    drawn(edits.overwrite, PLACES, NUMBERS | st.binary(min_size=1, max_size=64)),
    drawn(edits.cut, PLACES),
    drawn(edits.delete, PLACES, SIZES),
    drawn(edits.repeat, PLACES, SIZES, st.sampled_from((2, 3, 100))),
    drawn(edits.insert, PLACES, NUMBERS | st.binary(max_size=64)),
)
WORDS = st.sampled_from(ODD_WORDS) | st.text(max_size=20) | st.integers().map(str) | st.floats().map(str)
LINES = st.integers(0, 255)
TEXT = st.one_of(
    drawn(edits.replace_word, LINES, st.sampled_from((",", " ", "\n", "/")), LINES, WORDS),
    drawn(edits.copy_line, LINES, LINES),
    drawn(edits.delete_line, LINES),
)
VALUES = st.sampled_from(ODD_VALUES) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=5), below, max_size=3),
    max_leaves=4,
)
JSON = st.one_of(
    drawn(edits.set_value, PLACES, VALUES),
    drawn(edits.scale_value, PLACES, st.sampled_from((1, -1, 0, 2, 1e30)), st.sampled_from((0, 1, 0.5))),
    drawn(edits.delete_key, PLACES),
    drawn(edits.add_key, PLACES, st.sampled_from(("", "x", "version", "schema")), VALUES),
    drawn(edits.double_key, PLACES),
)
NPY_HEADER = drawn(edits.replace_in_header, st.sampled_from(HEADER_WORDS), st.sampled_from(ODD_HEADERS))
PNG_CHUNKS = st.one_of(
    drawn(edits.edit_chunk, PLACES, BYTES),
    drawn(edits.copy_chunk, PLACES),
    drawn(edits.delete_chunk, PLACES),
    drawn(edits.add_chunk, PLACES, st.sampled_from(ODD_CHUNKS)),
)


def members(likely: Edits) -> Edits:
    """Edits to a zip's members; to those of JSON, changes of its values."""
    return drawn(edits.in_member, PLACES, likely, JSON)
