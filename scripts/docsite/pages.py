"""The site's source: every Markdown page of the repository that it shows, with links that lead inside the site.

`docs/*.md` keep their names. Pages elsewhere get a place in the site (`PLACES`), so that README.md is its first page. A
link to another file of the repository takes that file along; one to a folder becomes its text.
"""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from posixpath import normpath, relpath

DOCS = "docs"
PLACES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "lab/README.md": "laboratory.md",
    "samples/README.md": "samples.md",
}
FILES = "files"  # the site's folder for what pages outside docs/ link to
STYLE = "scripts/docsite/site.css"

FENCE = re.compile(r"^( *)(`{3,}|~{3,}).*?^\1\2 *$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?P<picture>!?)\[(?P<text>(?:!\[[^\]]*\]\([^)]*\)|[^\[\]])*)\]\((?P<target>[^)\s]+)\)")
ATTRIBUTE = re.compile(r'(?<= )(?P<name>src|srcset|href)="(?P<target>[^"\s]+)"')


def assemble(root: Path, out: Path) -> None:
    """Make the folder of Markdown that the site is built from, of nothing but the repository."""
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(root / DOCS, out, ignore=shutil.ignore_patterns("*.md"))
    sources = {str(page.relative_to(root)) for page in (root / DOCS).rglob("*.md")} | set(PLACES)
    for source in sorted(sources):
        text = (root / source).read_text()
        linked = Links(root, out, source)
        target = out / place_of(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(outside_fences(linked.rewritten, text))
    shutil.copy(root / STYLE, out / "site.css")


def place_of(source: str) -> str:
    """Where a page or file of the repository lies in the site."""
    if source in PLACES:
        return PLACES[source]
    return source.removeprefix(f"{DOCS}/") if source.startswith(f"{DOCS}/") else f"{FILES}/{source}"


def outside_fences(rewrite: Callable[[str], str], text: str) -> str:
    """A page with all of it rewritten that is no block of code."""
    parts, start = [], 0
    for block in FENCE.finditer(text):
        parts += [rewrite(text[start : block.start()]), block.group()]
        start = block.end()
    return "".join([*parts, rewrite(text[start:])])


class Links:
    """The links of one page, as they are in the site. Files that they lead to are copied into it."""

    def __init__(self, root: Path, out: Path, source: str):
        self.root, self.out, self.source = root, out, source

    def rewritten(self, text: str) -> str:
        """A piece of the page with its links rewritten."""
        return ATTRIBUTE.sub(self._attribute, LINK.sub(self._link, text))

    def _link(self, found: re.Match[str]) -> str:
        text, target = LINK.sub(self._link, found["text"]), self._in_the_site(found["target"])
        return text if target is None else f"{found['picture']}[{text}]({target})"

    def _attribute(self, found: re.Match[str]) -> str:
        return f'{found["name"]}="{self._in_the_site(found["target"]) or found["target"]}"'

    def _in_the_site(self, target: str) -> str | None:
        """A link's target as seen from the page's place; None for a folder, which the site does not show."""
        path, mark, anchor = target.partition("#")
        if not path or "://" in target or target.startswith("mailto:"):
            return target
        linked = normpath(f"{Path(self.source).parent.as_posix()}/{path}")
        if (self.root / linked).is_dir():
            return None
        place = place_of(linked)
        if place.startswith(f"{FILES}/") and (self.root / linked).is_file():
            (self.out / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(self.root / linked, self.out / place)
        return relpath(place, Path(place_of(self.source)).parent.as_posix()) + mark + anchor
