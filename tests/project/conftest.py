"""Fixtures of the tests of the whole project: its folder, its settings, its commands."""

import configparser
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
SETTINGS = configparser.ConfigParser()
SETTINGS.read(ROOT / "setup.cfg")
MODULES = dict(
    re.findall(r"^(mde-\w+) = ([\w.]+):main$", SETTINGS["options.entry_points"]["console_scripts"], flags=re.MULTILINE)
)
COMMANDS = list(MODULES)


@pytest.fixture
def root() -> Path:
    """The project's folder."""
    return ROOT


@pytest.fixture
def settings() -> configparser.ConfigParser:
    """setup.cfg."""
    return SETTINGS


@pytest.fixture
def module_at() -> Callable[[Path], ModuleType]:
    """A function that loads a file that no package has, such as a script, as a module."""

    def load(path: Path) -> ModuleType:
        spec = importlib.util.spec_from_file_location(f"{path.stem}_of_a_test", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture(params=COMMANDS)
def command(request: pytest.FixtureRequest) -> str:
    """Each command in turn."""
    return str(request.param)


@pytest.fixture
def command_module(command: str) -> str:
    """The module whose `main` the command is."""
    return MODULES[command]


@pytest.fixture(params=[name for name in COMMANDS if name != "mde-doctor"])
def demanding_command(request: pytest.FixtureRequest) -> str:
    """Each command that cannot do anything without arguments."""
    return str(request.param)


@pytest.fixture
def python() -> Callable[..., str]:
    """A function that runs a program text in a fresh interpreter and gives its stdout."""

    def run(text: str, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", text, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture
def call() -> Callable[..., subprocess.CompletedProcess[str]]:
    """A function that runs a command as its user does, without a terminal and without colours."""

    def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        program = Path(sys.executable).parent / name
        return subprocess.run(
            [program, *arguments], capture_output=True, text=True, env={**os.environ, "NO_COLOR": "1"}, check=False
        )

    return run
