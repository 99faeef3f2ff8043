"""Checks of the built site: every link and anchor leads somewhere, and no page fetches anything from elsewhere."""

import urllib.error
import urllib.request
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

OPENS = {"a": "href", "area": "href"}
FETCHES = {"img": "src", "script": "src", "link": "href", "source": "srcset", "iframe": "src", "video": "src"}
SITE = "https://site"  # stands for the folder while relative links are joined
TIMEOUT_S = 20


class Page(HTMLParser):
    """A page of the site: its anchors, what it links to and what it fetches."""

    def __init__(self, text: str):
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag names and where it leads."""
        values = {name: value for name, value in attrs if value}
        self.anchors.update(values[name] for name in ("id", "name") if name in values)
        if target := values.get(OPENS.get(tag, "")):
            self.links.append(target)
        if target := values.get(FETCHES.get(tag, "")):
            (self.links if values.get("rel") == "canonical" else self.fetched).append(target)


def faults(site: Path) -> list[str]:
    """A line for each link of the site that leads nowhere, and for each thing that a page fetches from elsewhere."""
    pages = read(site)
    return [
        *(
            f"{name}: {target} leads nowhere"
            for name, target in _inside(pages)
            if not _exists(site, pages, name, target)
        ),
        *(
            f"{name}: fetches {target} from elsewhere"
            for name, page in pages.items()
            for target in page.fetched
            if urlsplit(target).netloc
        ),
    ]


def external_faults(site: Path) -> Iterator[str]:
    """A line for each address outside the site that does not answer. Asks each once."""
    asked = {
        target for page in read(site).values() for target in page.links if urlsplit(target).scheme in ("http", "https")
    }
    for address in sorted(asked):
        request = urllib.request.Request(address.partition("#")[0], headers={"User-Agent": "mde-toolchain docs"})
        try:
            urllib.request.urlopen(request, timeout=TIMEOUT_S).close()
        except (OSError, urllib.error.URLError) as error:
            yield f"{address}: {error}"


def read(site: Path) -> dict[str, Page]:
    """The pages of the site, by their path in it."""
    files = sorted(site.rglob("*.html"))
    return {file.relative_to(site).as_posix(): Page(file.read_text()) for file in files}


def _inside(pages: dict[str, Page]) -> Iterator[tuple[str, str]]:
    """Every link that stays in the site, with the page that it is on; that of the page for what is not found aside."""
    for name, page in pages.items():
        if name != "404.html":  # its links begin at the address that the site will have
            yield from ((name, target) for target in (*page.links, *page.fetched) if not _leaves(target))


def _leaves(target: str) -> bool:
    parts = urlsplit(target)
    return bool(parts.scheme or parts.netloc)


def _exists(site: Path, pages: dict[str, Page], name: str, target: str) -> bool:
    parts = urlsplit(urljoin(f"{SITE}/{name}", target))
    path, anchor = unquote(parts.path).lstrip("/"), unquote(parts.fragment)
    if not (site / path).is_file():
        return False
    return not anchor or path not in pages or anchor in pages[path].anchors
