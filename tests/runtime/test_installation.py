"""Remedies name the command for the environment that the package runs in."""

import json
import subprocess
import sys

import pytest

from mde_runtime import installation

RECEIPT = '[tool]\nrequirements = [{{ name = "mde-toolchain"{extras}, path = "x.whl" }}]\n'


@pytest.fixture
def prefix(tmp_path):
    """An environment that no tool has left its mark in."""
    folder = tmp_path / "environment"
    folder.mkdir()
    return folder


@pytest.fixture
def clone(tmp_path):
    """A clone of the repository, as far as anybody looks."""
    folder = tmp_path / "clone"
    (folder / "runtime").mkdir(parents=True)
    (folder / "setup.cfg").touch()
    return folder


@pytest.fixture
def nowhere(tmp_path):
    """Where the modules of an installed package lie: no clone."""
    return tmp_path / "lib"


@pytest.mark.parametrize(("installer", "tool"), [("pip\n", "pip"), ("", "pip"), ("uv", "uv pip")])
def test_a_package_from_an_index_is_added_to_by_its_name(prefix, nowhere, installer, tool):
    found = installation.look(prefix, nowhere, "", installer)
    assert found.adding("cpu") == f"{tool} install 'mde-toolchain[cpu]'"
    assert found.adding_package("numpy<2") == f"{tool} install 'numpy<2'"
    assert found.removing("a", "b") == f"{tool} uninstall a b"


def test_an_environment_of_pipx_is_injected_into_by_its_own_name(tmp_path, nowhere):
    prefix = tmp_path / "mde-toolchain-nightly"  # as pipx install --suffix names it
    prefix.mkdir()
    (prefix / "pipx_metadata.json").touch()
    found = installation.look(prefix, nowhere, "", "pip")
    assert found.adding("cpu") == "pipx inject mde-toolchain-nightly 'mde-toolchain[cpu]'"
    assert found.adding_package("av>=12") == "pipx inject mde-toolchain-nightly 'av>=12'"
    assert found.removing("av") == "pipx runpip mde-toolchain-nightly uninstall av"


@pytest.mark.parametrize(
    ("extras", "expected"), [("", "cpu"), (', extras = ["video"]', "video,cpu"), (', extras = ["cpu"]', "cpu")]
)
def test_a_tool_of_uv_is_installed_anew_with_the_extras_that_it_had(prefix, nowhere, extras, expected):
    (prefix / "uv-receipt.toml").write_text(RECEIPT.format(extras=extras))
    found = installation.look(prefix, nowhere, "", "uv")
    assert found.adding("cpu") == f"uv tool install 'mde-toolchain[{expected}]'"
    assert found.removing("av") == f"uv pip uninstall --python '{prefix}' av"


def test_a_package_beside_a_tool_of_uv_keeps_the_extras(prefix, nowhere):
    (prefix / "uv-receipt.toml").write_text(RECEIPT.format(extras=', extras = ["cpu", "video"]'))
    found = installation.look(prefix, nowhere, "", "uv")
    assert found.adding_package("numpy<2") == "uv tool install 'mde-toolchain[cpu,video]' --with 'numpy<2'"


def test_a_clone_is_added_to_as_the_folder_that_it_is(prefix, clone, monkeypatch):
    assert installation.look(prefix, clone, "", "").adding("cpu") == f"pip install -e '{clone}[cpu]'"
    monkeypatch.chdir(clone)
    assert installation.look(prefix, clone, "", "").adding("export,train") == "pip install -e '.[export,train]'"


def test_a_wheel_is_named_by_its_file_and_by_name_once_that_is_gone(prefix, nowhere, tmp_path):
    wheel = tmp_path / "my wheels" / "mde_toolchain-0.1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    wheel.touch()
    recorded = json.dumps({"url": wheel.as_uri(), "archive_info": {}})
    assert installation.look(prefix, nowhere, recorded, "pip").adding("cpu") == f"pip install '{wheel}[cpu]'"
    wheel.unlink()
    assert installation.look(prefix, nowhere, recorded, "pip").adding("cpu") == "pip install 'mde-toolchain[cpu]'"


def test_a_commit_of_a_repository_is_named_with_its_commit(prefix, nowhere):
    recorded = {"url": "https://example.org/mde", "vcs_info": {"vcs": "git", "commit_id": "abc123"}}
    found = installation.look(prefix, nowhere, json.dumps(recorded), "pip")
    assert found.adding("cpu") == "pip install 'mde-toolchain[cpu] @ git+https://example.org/mde@abc123'"


@pytest.mark.parametrize("recorded", ["{", "[]", '{"url": 3}', '{"path": "x"}'])
def test_a_record_that_makes_no_sense_counts_as_none(prefix, nowhere, recorded):
    assert installation.look(prefix, nowhere, recorded, "pip").source == ""


@pytest.mark.parametrize(
    ("package", "extra"),
    [("torch", "train"), ("onnx_ir", "export"), ("onnxruntime", "cpu"), ("transformers", "hf"), ("no_such", "")],
)
def test_the_smallest_extra_with_a_package_is_found(package, extra):
    assert installation.extra_with(package) == extra


def test_a_missing_library_that_nobody_foresaw_is_answered_by_its_extra():
    code = (
        "import sys; sys.modules['lightning'] = None\n"
        "import click; from mde_runtime.command import Command\n"
        "@click.command(cls=Command)\n"
        "def main(): import lightning\n"
        "main([], 'mde-train')"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    said = f"mde-train: the package lightning is not installed; {installation.adding('train')}\n"
    assert (ended.returncode, ended.stderr) == (4, said)


def test_looking_costs_nothing_before_something_is_missing():
    code = "import mde_runtime.cli.predict, sys; print('importlib.metadata' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "False\n"
