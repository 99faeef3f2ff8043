"""Every command, in surroundings that no terminal gives it: never a traceback, and an exit code that is true."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

FULL, NOBODY, CLOSED = "/dev/full", "a pipe that nobody reads", "closed"
WITHOUT_ACCOUNT = """
import os, pwd
def unknown(uid):
    raise KeyError(f"getpwuid(): uid not found: {uid}")
pwd.getpwuid = unknown
for name in ("HOME", "USER", "LOGNAME", "LNAME", "USERNAME"):
    os.environ.pop(name, None)
"""
CALL = """
import importlib, sys
getattr(importlib.import_module(sys.argv[1]), "main")(sys.argv[3:], sys.argv[2])
"""
HELP, WRONG = "--help", "--no\udce9ne"  # an option that is neither known nor UTF-8
LOCALE_C = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
# stdin, stdout, stderr (None: as ever); what comes before the call; the environment; the argument and its exit code
SURROUNDINGS = {
    "stdin closed": ((CLOSED, None, None), "", {}, HELP, 0),
    "stdout closed": ((None, CLOSED, None), "", {}, HELP, 0),
    "stderr closed": ((None, None, CLOSED), "", {}, WRONG, 2),
    "everything closed": ((CLOSED, CLOSED, CLOSED), "", {}, WRONG, 2),
    "stdout full": ((None, FULL, None), "", {}, HELP, 4),
    "stderr full": ((None, None, FULL), "", {}, WRONG, 2),
    "stdout without a reader": ((None, NOBODY, None), "", {}, HELP, 0),
    "stderr without a reader": ((None, None, NOBODY), "", {}, WRONG, 2),
    "without an account": ((None, None, None), WITHOUT_ACCOUNT, {}, HELP, 0),
    "locale C": ((None, None, None), "", LOCALE_C, WRONG, 2),
    "ascii": ((None, None, None), "", {"PYTHONIOENCODING": "ascii"}, WRONG, 2),
}


class Call:
    """A command that runs in given surroundings."""

    def __init__(
        self, call: tuple[str, ...], streams: tuple[str | None, ...], before: str, environment: dict[str, str]
    ):
        read, write = os.pipe()
        os.close(read)
        full = os.open(FULL, os.O_RDWR)
        takes = [{FULL: full, NOBODY: write}.get(stream, subprocess.PIPE) for stream in streams]
        closed = [number for number, stream in enumerate(streams) if stream == CLOSED]
        self._process = subprocess.Popen(
            [sys.executable, "-c", before + CALL, *call],
            stdin=subprocess.DEVNULL, stdout=takes[1], stderr=takes[2], env={**os.environ, **environment},
            preexec_fn=lambda: [os.close(number) for number in closed],
        )  # fmt: skip
        os.close(write)
        os.close(full)

    def ended(self) -> tuple[int, str]:
        """The exit code, and everything that was said."""
        said = self._process.communicate(timeout=60)
        return self._process.returncode, b"".join(text or b"" for text in said).decode(errors="replace")


@pytest.mark.skipif(not Path(FULL).exists(), reason="this system has no /dev/full")
def test_no_surroundings_bring_a_traceback_out_of_a_command(command, command_module):
    calls = {
        name: (Call((command_module, command, argument), streams, before, environment), code)
        for name, (streams, before, environment, argument, code) in SURROUNDINGS.items()
    }
    for name, (call, code) in calls.items():
        found, said = call.ended()
        assert (name, found) == (name, code), said
        assert "Traceback" not in said, name
        assert "Exception ignored" not in said, name


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGPIPE])
def test_a_signal_while_a_command_works_brings_no_traceback(command, command_module, number):
    text = f"""
import click, os, time
from mde_runtime import command
def work(*_):
    os.kill(os.getpid(), {int(number)})
    time.sleep(0.2)
click.Command.invoke = work
click.Group.invoke = work
{CALL}"""
    arguments = [command_module, command, *arguments_of(command)]
    call = subprocess.run([sys.executable, "-c", text, *arguments], capture_output=True, text=True, check=False)
    expected = {signal.SIGINT: (130, "interrupted"), signal.SIGTERM: (143, "terminated"), signal.SIGPIPE: (0, "")}[
        number
    ]
    assert (call.returncode, call.stderr) == (expected[0], f"{command}: {expected[1]}\n" if expected[1] else "")


LITTLE_MEMORY = """
import resource
from pathlib import Path
taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + (256 << 20), resource.RLIM_INFINITY))
"""
MEMORY = "out of memory; close other programs"
# What a command asks for, once it has little memory left, that nothing can give; and what it then says
MORE_THAN_THERE_IS = {
    "an array": ("bytearray(1 << 30)", MEMORY),
    "an array of numpy's": ("import numpy; numpy.ones(1 << 28)", MEMORY),
    "a thread": ("import threading; threading.stack_size(1 << 30); threading.Thread(target=print).start()", MEMORY),
    "a file": ("resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3)); import os; os.pipe()", "too many files are open"),
}


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="this system does not say how much memory is taken")
def test_a_command_that_asks_for_more_than_there_is_says_so_in_one_line(command, command_module):
    calls = {}
    for name, (ask, words) in MORE_THAN_THERE_IS.items():
        text = f"import click\ndef work(*_):{textwrap.indent(LITTLE_MEMORY + ask, '    ')}\n"
        text += "click.Command.invoke = click.Group.invoke = work\n"
        arguments = (command_module, command, *arguments_of(command))
        calls[name] = Call(arguments, (None, None, None), text, {}), words
    for name, (call, words) in calls.items():
        code, said = call.ended()
        assert (name, code) == (name, 4), said
        assert said.startswith(f"{command}: {words}"), (name, said)
        assert said.count("\n") == 1, said


def arguments_of(command: str) -> list[str]:
    """As few as a command takes before it works."""
    return {
        "mde-export": ["model"], "mde-predict": ["model.mde", "a.png", "-o", "out"], "mde-bundle": ["cache"],
        "mde-bench": ["run"], "mde-data": ["check"],
    }.get(command, [])  # fmt: skip


def test_a_user_without_an_account_predicts_on_what_does_without(root, tmp_path):
    files = [root / "samples" / name for name in ("fast.mde", "street.jpeg")]
    call = [sys.executable, "-c", WITHOUT_ACCOUNT + CALL, "mde_runtime.cli.predict", "mde-predict", *files]
    ended = subprocess.run([*call, "-o", tmp_path / "out"], capture_output=True, text=True, check=False)
    assert (ended.returncode, (tmp_path / "out/street.npy").exists()) == (0, True), ended.stderr
