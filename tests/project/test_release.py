"""The files of a release: the wheel, the source archive, the README on a package index, and the check before them."""

import configparser
import email
import importlib
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile

import click
import pytest
import yaml

from mde_runtime import __version__, failures

ADDRESS = "https://example.org/me/mde-toolchain"
BUILD = """
import setuptools.build_meta as build, sys
out = sys.argv[1]  # setuptools writes its own arguments over ours
build.build_sdist(out)
build.build_wheel(out)
"""


def tracked(root):
    listing = subprocess.run(["git", "ls-files"], cwd=root, capture_output=True, text=True, check=True).stdout
    return {name for name in listing.splitlines() if (root / name).exists()}


@pytest.fixture(scope="module")
def built(tmp_path_factory, request):
    """A folder with the source archive and the wheel of this tree."""
    root = request.config.rootpath
    tree, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("dist")
    for name in tracked(root):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / name, tree / name)
    subprocess.run([sys.executable, "-c", BUILD, out], cwd=tree, capture_output=True, text=True, check=True)
    return out


@pytest.fixture
def wheel(built):
    """The wheel, opened."""
    (path,) = built.glob("*.whl")
    return zipfile.ZipFile(path)


@pytest.fixture
def about(wheel):
    """The wheel's metadata."""
    return email.message_from_bytes(wheel.read(f"mde_toolchain-{__version__}.dist-info/METADATA"))


@pytest.fixture
def readme_for_an_index(root, module_at):
    """The function of setup.py, which makes the README of the metadata."""
    return module_at(root / "setup.py").readme_for_an_index


@pytest.fixture
def release(root, module_at):
    """scripts/release.py, as a module."""
    return module_at(root / "scripts" / "release.py")


def test_the_source_archive_holds_the_whole_repository(built, root):
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {member.name.partition("/")[2] for member in archive if member.isfile()}
    assert sorted(tracked(root) - names) == []
    added = {name for name in names - tracked(root) if ".egg-info/" not in name}
    assert added == {"PKG-INFO"}


def test_the_wheel_holds_code_the_sample_and_nothing_else(wheel):
    kinds = {re.sub(r".*\.", ".", name) for name in wheel.namelist() if ".dist-info/" not in name}
    assert kinds == {".py", ".typed", ".mde", ".jpeg"}
    assert {name for name in wheel.namelist() if name.endswith((".mde", ".jpeg"))} == {
        "mde_runtime/samples/fast.mde",
        "mde_runtime/samples/street.jpeg",
    }


def test_the_licence_is_an_expression_and_no_classifier(about):
    assert about["License-Expression"] == "Apache-2.0"
    assert [line for line in about.get_all("Classifier") if line.startswith("License")] == []


def test_the_metadata_names_every_python_that_is_tested(about, root):
    ci = yaml.safe_load((root / ".github/workflows/ci.yml").read_text())
    promised = {line.removeprefix("Programming Language :: Python :: ") for line in about.get_all("Classifier")}
    assert set(ci["jobs"]["test"]["strategy"]["matrix"]["python"]) <= promised


def relative_targets(text):
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r"""\b(?:src|srcset|href)="([^"]+)\"""", text)
    return [target for target in targets if "://" not in target]


def test_the_readme_in_the_metadata_has_no_link_that_an_index_cannot_follow(about, root):
    assert relative_targets((root / "README.md").read_text()) != []
    assert relative_targets(about.get_payload()) == []
    assert about["Description-Content-Type"] == "text/markdown"


def test_with_an_address_links_and_pictures_lead_into_the_tag_of_the_release(readme_for_an_index):
    text = '![A street](docs/street.png) [how](docs/how.md#why) [sources](#sources)\n<img src="docs/line.svg">'
    assert readme_for_an_index(text, ADDRESS, "v1.2.3").splitlines() == [
        f"![A street]({ADDRESS}/raw/v1.2.3/docs/street.png) [how]({ADDRESS}/blob/v1.2.3/docs/how.md#why) "
        f"[sources]({ADDRESS}/blob/v1.2.3/README.md#sources)",
        f'<img src="{ADDRESS}/raw/v1.2.3/docs/line.svg">',
    ]


def test_without_an_address_the_words_of_a_link_stay_and_pictures_go(readme_for_an_index):
    text = 'See ![A street](docs/street.png)[how](docs/how.md).\n<img src="docs/line.svg">\nEnd'
    assert readme_for_an_index(text, "", "v1.2.3") == "See how.\nEnd"


@pytest.mark.parametrize("address", ["", ADDRESS])
def test_what_is_absolute_or_no_link_is_left_alone(readme_for_an_index, address):
    text = "[PyTorch](https://pytorch.org/) `pip install '.[cpu]'` (see [1])"
    assert readme_for_an_index(text, address, "v1.2.3") == text


@pytest.fixture
def releasable(root, tmp_path):
    """A tree with everything that a release asks for, and its tag."""
    for name in ("CHANGELOG.md", "CITATION.cff", "setup.cfg", "runtime/mde_runtime/__init__.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / name, tmp_path / name)
    changes = tmp_path / "CHANGELOG.md"
    changes.write_text(changes.read_text().replace("## [Unreleased]", f"## [{__version__}] - 2026-12-01"))
    settings = tmp_path / "setup.cfg"
    filled_in = re.sub(r"^#(author|project_urls|    \w+ = https)", r"\1", settings.read_text(), flags=re.MULTILINE)
    settings.write_text(filled_in.replace("https://HOST/OWNER/mde-toolchain", ADDRESS))
    return tmp_path, f"v{__version__}"


def test_a_tree_that_is_filled_in_may_be_released(release, releasable):
    assert list(release.missing(*releasable)) == []


def test_the_commented_lines_of_setup_cfg_are_the_place_for_the_address(releasable):
    settings = configparser.ConfigParser()
    settings.read(releasable[0] / "setup.cfg")
    assert f"Repository = {ADDRESS}" in settings["metadata"]["project_urls"].splitlines()


@pytest.mark.parametrize(
    ("name", "pattern", "said"),
    [
        ("setup.cfg", r"^author = .*\n", "setup.cfg has no author;"),
        ("setup.cfg", r"^project_urls =\n(    .*\n)*", "setup.cfg has no project_urls;"),
        ("CHANGELOG.md", r"^## \[[\d.]+\] - .*\n", "CHANGELOG.md has no heading"),
        ("CITATION.cff", r"^version: .*\n", "CITATION.cff has another version"),
    ],
)
def test_a_tree_that_lacks_one_thing_may_not(release, releasable, name, pattern, said):
    root, tag = releasable
    text, num_removed = re.subn(pattern, "", (root / name).read_text(), flags=re.MULTILINE)
    assert num_removed == 1
    (root / name).write_text(text)
    (line,) = release.missing(root, tag)
    assert line.startswith(said)


def test_a_tag_of_another_version_is_refused(release, releasable):
    (line,) = release.missing(releasable[0], "v99.0.0")
    assert "the tag is v99.0.0" in line


def test_the_citation_is_of_this_version_and_has_what_the_format_asks_for(root):
    citation = yaml.safe_load((root / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert (citation["version"], citation["license"]) == (__version__, "Apache-2.0")


def forms(root):
    folder = root / ".github" / "ISSUE_TEMPLATE"
    return {path.stem: yaml.safe_load(path.read_text()) for path in folder.glob("*.yml") if path.stem != "config"}


def test_issue_forms_have_what_github_asks_of_them(root):
    for name, form in forms(root).items():
        assert {"name", "description", "body"} <= form.keys(), name
        asked = [part for part in form["body"] if part["type"] != "markdown"]
        assert len({part["id"] for part in asked}) == len(asked) > 0, name
        assert all(part["attributes"]["label"] and isinstance(part["validations"]["required"], bool) for part in asked)


def test_the_form_for_bugs_asks_for_what_a_bug_of_ours_says_to_send(root):
    said = failures.bug_report(KeyError("x"), has_traceback=False)
    assert "send the command, the version (" in said
    assert "--debug" in said
    required = [part for part in forms(root)["bug"]["body"] if part.get("validations", {}).get("required")]
    assert {"command", "version"} <= {part["id"] for part in required}
    assert "--debug" in str(required)


def commands_in(command: click.Command) -> list[click.Command]:
    inner = getattr(command, "commands", {}).values()
    return [found for one in inner for found in commands_in(one)] or [command]


def test_every_command_can_give_what_the_form_asks_for(command_module):
    for command in commands_in(importlib.import_module(command_module).main):
        options = {name for parameter in command.params for name in parameter.opts}
        assert {"--debug", "--version"} <= options, command.name
