"""The documentation site: its pages, their links, and the check that finds a dead one."""

import re
from pathlib import Path

import click
import pytest
import yaml

from scripts.docsite import command_pages, pages, python_page, site_check


@pytest.fixture
def repository(tmp_path) -> Path:
    """A small repository: two pages in docs/, pages elsewhere, a file and a folder."""
    root = tmp_path / "repository"
    for name in ("docs/guides", "rooms", "lab", "samples", "scripts/docsite"):
        (root / name).mkdir(parents=True)
    for name in (*pages.PLACES, "docs/method.md", "docs/guides/robot.md", "rooms/pins.txt", pages.STYLE):
        (root / name).write_text("")
    (root / "docs/picture.png").write_bytes(b"png")
    return root


@pytest.fixture
def shown(repository, tmp_path):
    """A function that gives a page's text in the site."""

    def show(source: str, text: str) -> str:
        (repository / source).write_text(text)
        pages.assemble(repository, tmp_path / "out")
        return (tmp_path / "out" / pages.place_of(source)).read_text()

    return show


@pytest.mark.parametrize(
    ("source", "link", "expected"),
    [
        ("README.md", "docs/guides/robot.md#start", "guides/robot.md#start"),
        ("README.md", "CHANGELOG.md", "changelog.md"),
        ("docs/method.md", "../README.md#sources", "index.md#sources"),
        ("docs/guides/robot.md", "../method.md", "../method.md"),
        ("docs/guides/robot.md", "../../lab/README.md", "../laboratory.md"),
        ("docs/method.md", "../rooms/pins.txt", "files/rooms/pins.txt"),
        ("docs/method.md", "#here", "#here"),
        ("docs/method.md", "https://example.org/a", "https://example.org/a"),
    ],
)
def test_a_link_leads_to_its_pages_place_in_the_site(shown, source, link, expected):
    assert shown(source, f"see [there]({link}).") == f"see [there]({expected})."


def test_a_file_that_a_page_links_to_goes_along_and_no_other(shown, tmp_path):
    shown("docs/method.md", "[pins](../rooms/pins.txt)")
    assert [file.name for file in (tmp_path / "out/files").rglob("*.*")] == ["pins.txt"]


def test_a_link_to_a_folder_is_its_text(shown):
    assert shown("README.md", "the [`rooms/`](rooms) of it") == "the `rooms/` of it"


def test_a_picture_is_shown_from_its_place_in_a_link_and_in_html(shown):
    text = '[![a](docs/picture.png)](docs/method.md) <img alt="b" src="docs/picture.png">'
    assert shown("README.md", text) == '[![a](picture.png)](method.md) <img alt="b" src="picture.png">'


def test_a_block_of_code_is_left_alone(shown):
    block = "```\necho [a](docs/method.md)\n```\n"
    assert shown("README.md", f"{block}[a](docs/method.md)") == f"{block}[a](method.md)"


def test_every_page_of_the_site_is_in_its_contents_and_no_other(root, tmp_path):
    out = tmp_path / "pages"
    pages.assemble(root, out)
    command_pages.write_pages(root, out)
    python_page.write_page(out)
    settings = (root / "mkdocs.yml").read_text().replace("!!python/object/apply:", "#")
    listed = re.findall(r"[\w/-]+\.md", str(yaml.safe_load(settings)["nav"]))
    assert sorted(listed) == sorted(page.relative_to(out).as_posix() for page in out.rglob("*.md"))


def every_option(command):
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            yield from parameter.opts
    for inner in getattr(command, "commands", {}).values():
        yield from every_option(inner)


def test_a_commands_page_has_all_its_options_and_subcommands(root, command):
    found = command_pages.commands(root)[command]
    page = command_pages.page(command, found)
    assert [option for option in every_option(found) if f"{option}" not in re.findall(r"--?[\w-]+", page)] == []
    assert [name for name in getattr(found, "commands", {}) if f"## {command} {name}\n" not in page] == []


def test_a_commands_page_shows_the_short_form_of_help(root, command):
    assert "`-h, --help`" in command_pages.page(command, command_pages.commands(root)[command])


SPLIT = re.compile(r'"\s*\n\s*f?"')  # a text that goes on in the next line of the source


def test_every_message_of_the_troubleshooting_page_is_one_that_the_code_says(root):
    source = "".join(
        SPLIT.sub("", file.read_text())
        for room in ("runtime", "train", "export", "bench")
        for file in (root / room).rglob("*.py")
    )
    explained = (root / "docs/troubleshooting.md").read_text().partition("## By message")[2]
    messages = re.findall(r"^\| `([^`]+)` \|", explained, re.MULTILINE)
    assert len(messages) > 10
    assert [message for message in messages if message not in source] == []


def test_help_that_markdown_would_change_is_shown_as_it_is():
    assert command_pages.escaped("a*b_c <d> | [e]") == r"a\*b\_c &lt;d&gt; \| \[e\]"
    assert command_pages.escaped("--set of `x_y`") == "`--set` of `x_y`"


def test_the_python_page_has_every_public_class_and_function(tmp_path):
    python_page.write_page(tmp_path)
    page = (tmp_path / "python.md").read_text()
    assert "::: mde_runtime.estimator.DepthEstimator" in page
    assert "::: mde_export.export" in page
    assert "__version__" not in re.findall(r"^::: .*\.(\w+)$", page, re.MULTILINE)


@pytest.fixture
def site(tmp_path) -> Path:
    """A built site without faults: two pages that link to each other, a picture."""
    (tmp_path / "guides").mkdir()
    (tmp_path / "a.png").write_bytes(b"png")
    (tmp_path / "index.html").write_text(
        '<a href="guides/b.html#end">b</a> <img src="a.png"> <a href="https://x.org">x</a>'
    )
    (tmp_path / "guides/b.html").write_text('<h2 id="end">b</h2> <a href="../index.html">a</a> <a href="#end">end</a>')
    return tmp_path


def test_a_site_whose_links_all_lead_somewhere_has_no_faults(site):
    assert site_check.faults(site) == []


@pytest.mark.parametrize(
    ("addition", "fault"),
    [
        ('<a href="c.html">c</a>', "guides/b.html: c.html leads nowhere"),
        ('<a href="../index.html#c">c</a>', "guides/b.html: ../index.html#c leads nowhere"),
        ('<a href="#c">c</a>', "guides/b.html: #c leads nowhere"),
        ('<img src="../c.png">', "guides/b.html: ../c.png leads nowhere"),
        ('<script src="https://x.org/a.js"></script>', "guides/b.html: fetches https://x.org/a.js from elsewhere"),
    ],
)
def test_what_leads_nowhere_or_is_fetched_from_elsewhere_is_named(site, addition, fault):
    with (site / "guides/b.html").open("a") as page:
        page.write(addition)
    assert site_check.faults(site) == [fault]
