"""Plain English: phrases that sound translated, or that only this project uses, stand nowhere a user reads."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from scripts.texts import ROOMS, texts, texts_of

TRANSLATED = (  # nowhere, the pages of the documentation included
    # "What fails is one line.": a question as a subject
    r"(?:^|[.!?]\s+)What (?!(?:is|are|was|were|can|do|does|did|should|has)\b)(?![^.|]*\?)",
    r"\bthat is told\b",
    r"\breckon",
    r"\blikewise\b",
    r"\bby another way\b",
    r"\bstays? at home\b",
    r", too\b(?! (?:few|many|large|small|old|new|long|short|near|far|busy|noisy|much))",
    r"\bof which\b",
    r"\bin silence\b",
    r"\bno wish\b",
    r"\bfor want of\b",
    r"\bcosts its own row\b",
    r"\bbrings? code of\b",
    r"\bso long\b",
    r"\bin place of both\b",
    r"\bthe same holds\b",
    r"\banew\b",
    r"\bmended?\b|\bmends\b",
    r"\bcommonest\b",
    r"\bhalf-way\b",
    r"\bis there twice\b",
    r"\bbelongs here\b",
    r"\bscenes alone\b",
    r"\b(?:therein|thereof|whereof|thereby|hence|thus|whilst|hitherto|shall)\b",
)
CURT = (  # nor in the product's own texts, where there is no room to explain
    r"\bwhat else\b",
    r"\b(?:of|in|by|from|on) what\b",
    r"\bis told\b",
    r"\bwithout looking\b",
    r"\bthe like\b",
    r"\bfilms?\b(?!\.mp4)",
    r"\bis none\b",
    r"\blook into\b",
    r"\bgo on with\b|\bgoes on with\b",
    r"\bhas to be\b",
    r"\bdoes not load here\b",
    r"\bthat can be read \(",
    r"\b(?:frames|images|multiply-adds|bytes) a second\b",
    r"\bms a frame\b",
    r"\bupon\b",
    r"\bis no (?!longer\b|better\b|faster\b|slower\b|larger\b|wider\b|more\b|such\b|mean\b|reference\b)",
)
PAGES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "samples/README.md")


def found_in(text: str, banned: Sequence[str] = (*TRANSLATED, *CURT)) -> list[str]:
    """The banned phrases in a text, wrapped lines joined and code left out."""
    without_blocks = re.sub(r"```.*?```", "`code`", text, flags=re.DOTALL)
    prose = " ".join(re.sub(r"`[^`\n]*`", "`code`", without_blocks).split())
    return [match.group() for phrase in banned for match in re.finditer(phrase, prose, re.IGNORECASE)]


def pages(root: Path) -> list[Path]:
    """The pages of the documentation, the archive of measurements among them."""
    return [*(root / name for name in PAGES), *sorted((root / "docs").rglob("*.md"))]


@pytest.mark.parametrize("room", ROOMS)
def test_no_text_of_the_product_sounds_translated(root, room):
    bad = [(f"{text.path.name}:{text.line}", found) for text in texts(root / room) if (found := found_in(text.text))]
    assert bad == []


def test_no_page_of_the_documentation_sounds_translated(root):
    bad = {page.name: found for page in pages(root) if (found := found_in(page.read_text(), TRANSLATED))}
    assert bad == {}


@pytest.mark.parametrize(
    "sentence",
    [
        "What fails in your code is one line.",
        "The port is reckoned to take 3 s.",
        "Likewise: how frames come to size.",
        "An engine that is told apart",
        "TensorRT-RTX builds without a GPU, too.",
        "close what else runs",
        "'x' is no number",
        "torch stays\nat home",
        "copy it anew",
        "11 ms a frame",
    ],
)
def test_a_planted_phrase_is_found(sentence):
    assert found_in(f"A first sentence. {sentence}") != []


@pytest.mark.parametrize(
    "sentence",
    [
        "What is a bundle?",
        "The machine is too busy.",
        "Such a frame is no longer read.",
        "`what else` is code",
        "The picture, too large for this memory, is named.",
    ],
)
def test_plain_sentences_are_left_alone(sentence):
    assert found_in(f"A first sentence. {sentence}") == []


def test_every_kind_of_text_is_read():
    source = '''
"""A docstring of a module."""
NAMES = {"a": "a row of a table"}

@main.command()
@click.option("--n", help="Count.")
def run(n):
    """Run it."""
    say(f"{n} of {len(NAMES)} done")
    raise UsageError(f"{n}: too " "many; use fewer")
'''
    assert [(kind, text) for kind, _, text in texts_of(source)] == [
        ("other", "a row of a table"),
        ("help", "Count."),
        ("help", "Run it."),
        ("output", "{} of {} done"),
        ("error", "{}: too many; use fewer"),
    ]
