"""`make pythons`: which Pythons it checks, with what, and how a test says that it needs torch."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def pythons(root, module_at):
    """scripts/pythons.py as a module."""
    return module_at(root / "scripts" / "pythons.py")


def test_every_python_that_the_package_is_for_is_checked(settings, pythons):
    prefix = "Programming Language :: Python :: 3."
    classified = settings["metadata"]["classifiers"].splitlines()
    assert tuple(f"3.{line.removeprefix(prefix)}" for line in classified if line.startswith(prefix)) == pythons.VERSIONS


def test_a_python_is_found_by_what_it_says_of_itself(pythons, tmp_path, monkeypatch):
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert pythons.find("3.12") is None
    for patch, said in (("3.12.9", "3.12"), ("3.12.10", "3.12"), ("3.12.11", "3.9")):
        python = tmp_path / "versions" / patch / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.write_text(f"#!/bin/sh\necho {said}\n")
        python.chmod(0o755)
    assert pythons.find("3.12").endswith("3.12.10/bin/python")  # not 3.12.9, and not the one that is another


def test_where_no_python_is_found_each_is_named_and_nothing_has_passed(root, tmp_path):
    command = [sys.executable, root / "scripts" / "pythons.py"]
    nowhere = {"PATH": str(tmp_path), "PYENV_ROOT": str(tmp_path)}
    ended = subprocess.run(command, env=nowhere, capture_output=True, text=True, check=False)
    assert ended.returncode == 4
    assert ended.stderr.count("not found on the PATH or among pyenv's, so not checked") == 4


MARKED = """
@pytest.mark.needs("torch_that_is_not_here")
def test_that_says_so():
    assert 1 + 1 == 3
"""

TESTS = """
import pytest

def test_by_itself():
    raise ModuleNotFoundError("No module named 'torch'", name="torch")

def test_by_a_part_of_it():
    try:
        raise ModuleNotFoundError("No module named 'torch.nn'", name="torch.nn")
    except ModuleNotFoundError as error:
        raise RuntimeError("install it") from error

@pytest.fixture
def network():
    raise ModuleNotFoundError("No module named 'lightning'", name="lightning")

def test_by_a_fixture(network):
    pass

@pytest.mark.needs("json")
def test_that_says_what_is_here():
    pass

def test_of_another_module():
    raise ModuleNotFoundError("No module named 'numpy'", name="numpy")

def test_that_fails():
    assert 1 + 1 == 3

def test_that_passes():
    pass
"""


def test_what_needs_torch_is_skipped_and_nothing_else(root, tmp_path):
    (tmp_path / "test_some.py").write_text(TESTS + MARKED)
    (tmp_path / "test_whole.py").write_text("import torch_that_is_not_here\n")
    (tmp_path / "test_file.py").write_text("raise ModuleNotFoundError('no', name='torch')\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "without_torch", "-p", "no:cacheprovider"]
    command += ["-W", "ignore::pytest.PytestUnknownMarkWarning"]  # it has no settings there
    command += ["--continue-on-collection-errors", tmp_path]
    environment = {"PYTHONPATH": str(root / "scripts"), "PATH": ""}
    ended = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "2 failed, 2 passed, 5 skipped, 1 error" in ended.stdout


def test_only_the_plugin_skips_a_test_that_says_what_it_needs(tmp_path):
    (tmp_path / "test_some.py").write_text(f"import pytest\n{MARKED}")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", tmp_path]
    ended = subprocess.run(command, env={"PATH": ""}, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "1 failed" in ended.stdout


def test_a_signal_can_end_what_was_started_in_the_background(root, tmp_path):
    python = tmp_path / "versions" / "3.12.9" / "bin" / "python"
    python.parent.mkdir(parents=True)
    ignored = "import signal; print(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)"
    python.write_text(f"#!/bin/sh\n[ $1 = -c ] && echo 3.12 && exit\n{sys.executable} -c '{ignored}'; exit 1\n")
    python.chmod(0o755)
    command = f"trap '' INT; exec {sys.executable} {root}/scripts/pythons.py 3.12"
    nowhere = {"PATH": "", "PYENV_ROOT": str(tmp_path)}
    ended = subprocess.run(["/bin/sh", "-c", command], env=nowhere, capture_output=True, text=True, check=False)
    assert ended.stdout == "False\n"


def test_no_two_runs_have_the_same_environment(root, tmp_path):
    python = tmp_path / "versions" / "3.12.9" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\n[ $1 = -c ] && echo 3.12 && exit\necho "$3"; exit 1\n')  # of: -m venv FOLDER
    python.chmod(0o755)
    nowhere = {"PATH": "", "PYENV_ROOT": str(tmp_path)}
    command = [sys.executable, root / "scripts" / "pythons.py", "3.12"]
    ended = [subprocess.run(command, env=nowhere, capture_output=True, text=True, check=False) for _ in range(2)]
    first, second = (Path(run.stdout.strip()) for run in ended)
    assert first.parent == second.parent == root / "build" / "pythons"
    assert first != second
    assert not first.exists()
    assert not second.exists()
