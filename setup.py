"""The build, as far as setup.cfg cannot say it: the README for a package index, where no relative link works."""

import configparser
import re
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).parent
RELATIVE = r"(?![a-z]+:)"
MARKDOWN = re.compile(rf"(!?)\[([^\]]*)\]\({RELATIVE}([^)\s]+)\)")
HTML = re.compile(rf"""\b(src|srcset|href)="{RELATIVE}([^"]+)\"""")
HTML_PICTURE = re.compile(r"<picture>.*?</picture>\n?|<img [^>]*>\n?", re.DOTALL)


def readme_for_an_index(text: str, repository: str, tag: str) -> str:
    """The README with every relative link and picture made absolute, at a tag of the repository.

    Without a repository, pictures are left out, and of links the words stay.
    """

    def of_markdown(found: re.Match[str]) -> str:
        picture, words, target = found.groups()
        if not repository:
            return "" if picture else words
        return f"{picture}[{words}]({_absolute(repository, tag, target, is_picture=bool(picture))})"

    def of_html(found: re.Match[str]) -> str:
        attribute, target = found.groups()
        return f'{attribute}="{_absolute(repository, tag, target, is_picture=attribute != "href")}"'

    text = MARKDOWN.sub(of_markdown, text)
    return HTML.sub(of_html, text) if repository else HTML_PICTURE.sub("", text)


def _absolute(repository: str, tag: str, target: str, *, is_picture: bool) -> str:
    path = f"README.md{target}" if target.startswith("#") else target
    return f"{repository}/{'raw' if is_picture else 'blob'}/{tag}/{path}"


def _long_description() -> str:
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg", encoding="utf-8")
    urls = dict(re.findall(r"^(\w+) = (\S+)$", settings["metadata"].get("project_urls", ""), re.MULTILINE))
    about = (ROOT / "runtime" / "mde_runtime" / "__init__.py").read_text(encoding="utf-8")
    (version,) = re.findall(r'^__version__ = "(.+)"$', about, re.MULTILINE)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    return readme_for_an_index(readme, urls.get("Repository", ""), f"v{version}")


if __name__ == "__main__":
    setup(long_description=_long_description())
