import errno
import os
import signal
import subprocess
import sys
import time

import click
import pytest

from mde_runtime.command import Command, Group
from mde_runtime.errors import BadInputError, MachineError, MeasurementError, UsageError, VerdictError


def command_that(ends) -> click.Command:
    @click.command(cls=Command)
    def main() -> int | None:
        return ends()

    return main


def raising(error: BaseException):
    def end() -> None:
        raise error

    return end


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (VerdictError("no"), 1),
        (UsageError("no"), 2),
        (BadInputError("no"), 3),
        (MachineError("no"), 4),
        (MeasurementError("no"), 5),
        (KeyboardInterrupt(), 130),
        (OSError(errno.ENOSPC, "No space left on device", "out.mde"), 4),
        (FileNotFoundError(errno.ENOENT, "No such file", "in.mde"), 3),
    ],
)
def test_an_error_is_one_line_and_one_exit_code(command, error, exit_code):
    ended = command(command_that(raising(error)))
    assert (ended.exit_code, ended.stdout, len(ended.stderr.strip().splitlines())) == (exit_code, "", 1)


def test_a_full_disk_is_said_in_our_words(command):
    ended = command(command_that(raising(OSError(errno.ENOSPC, "No space left on device", "out.mde"))))
    assert "out.mde: the disk is full; free some space" in ended.stderr


@pytest.mark.parametrize(("returned", "exit_code"), [(None, 0), (0, 0), (1, 1)])
def test_a_command_that_ends_well_gives_its_verdict(command, returned, exit_code):
    assert command(command_that(lambda: returned)).exit_code == exit_code


def test_a_bug_of_ours_keeps_its_traceback(command):
    assert isinstance(command(command_that(raising(AssertionError("bug")))).exception, AssertionError)


def test_debug_adds_the_traceback(command):
    ended = command(command_that(raising(BadInputError("no"))), "--debug")
    assert ended.exit_code == 3
    assert "Traceback" in ended.stderr


def test_an_unknown_option_is_wrong_usage(command):
    assert command(command_that(lambda: None), "--nonsense").exit_code == 2


def test_the_commands_of_a_group_end_alike(command):
    @click.group(cls=Group)
    def main() -> None:
        pass

    @main.command()
    def fail() -> None:
        raise MachineError("no GPU")

    ended = command(main, "fail")
    assert (ended.exit_code, ended.stderr.splitlines()[0].endswith(": no GPU")) == (4, True)


def test_ctrl_c_ends_a_running_command_with_130():
    program = """
import click, time
from mde_runtime.command import Command
@click.command(cls=Command)
def main():
    click.echo("started")
    time.sleep(60)
main()
"""
    running = subprocess.Popen(
        [sys.executable, "-u", "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert running.stdout is not None
    assert running.stdout.readline() == "started\n"
    time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=30)
    assert (running.returncode, said.strip().endswith("interrupted")) == (130, True)


def test_a_reader_that_goes_away_is_no_error():
    program = """
import click
from mde_runtime.command import Command
@click.command(cls=Command)
def main():
    for _ in range(100000):
        click.echo("line")
main()
"""
    read, write = os.pipe()
    running = subprocess.Popen([sys.executable, "-c", program], stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    os.read(read, 10)
    os.close(read)
    _, said = running.communicate(timeout=30)
    assert (running.returncode, said) == (0, "")
