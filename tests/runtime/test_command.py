import errno
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from mde_runtime.command import Command, Group, OneOf
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
        (MemoryError(), 4),
        (RuntimeError("can't start new thread"), 4),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), 4),
        (AssertionError("a bug\non two lines"), 70),
        (EOFError(), 70),
        (BrokenPipeError(errno.EPIPE, "a worker's pipe"), 70),
        (RecursionError("maximum recursion depth exceeded"), 70),
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


def test_a_bug_of_ours_says_what_to_send(command):
    said = command(command_that(raising(AssertionError("x is None")))).stderr
    assert "a bug of mde-toolchain (AssertionError: x is None at test_command.py:" in said
    assert "please report it: send the command, the version (" in said
    assert "the traceback from --debug" in said
    assert "Traceback" not in said


def test_debug_adds_the_traceback_of_a_bug(command):
    ended = command(command_that(raising(AssertionError("x is None"))), "--debug")
    assert ended.exit_code == 70
    assert "Traceback" in ended.stderr
    assert "the traceback above" in ended.stderr.splitlines()[-1]


def test_an_exception_of_a_thread_is_one_line(command):
    def in_a_thread() -> None:
        thread = threading.Thread(target=raising(KeyError("lost")))
        thread.start()
        thread.join()

    ended = command(command_that(in_a_thread))
    assert (len(ended.stderr.splitlines()), "KeyError: 'lost'" in ended.stderr) == (1, True)


def test_debug_adds_the_traceback(command):
    ended = command(command_that(raising(BadInputError("no"))), "--debug")
    assert ended.exit_code == 3
    assert "Traceback" in ended.stderr


def test_an_unknown_option_is_wrong_usage(command):
    assert command(command_that(lambda: None), "--nonsense").exit_code == 2


def test_options_stand_below_the_headings_of_their_groups():
    @click.command(cls=Command, groups={"Camera": ("focal_px",)})
    @click.argument("model")
    @click.option("--focal-px", help="Its focal length.")
    @click.option("--other", help="Something else.")
    def main(**_options: object) -> None:
        """Do it."""

    shown = CliRunner().invoke(main, ["--help"]).stdout
    camera, options = shown.partition("Camera:")[2].split("Options:")
    assert "--focal-px" in camera
    assert "--other" in options
    assert "--debug" in options
    assert shown.count("--focal-px") == 1


@pytest.mark.parametrize(
    ("given", "said"), [("colr", "'npy', 'colour' (did you mean 'colour'?)."), ("tiff", "'npy', 'colour'.")]
)
def test_a_mistyped_choice_is_answered_by_the_nearest_and_nonsense_by_the_list(command, given, said):
    @click.command(cls=Command)
    @click.option("--format", type=OneOf(("npy", "colour")))
    def main(**_options: object) -> None:
        pass

    ended = command(main, "--format", given)
    assert ended.exit_code == 2
    assert ended.stderr.rstrip().endswith(said)


def test_a_group_says_what_each_command_is_for_in_a_whole_sentence():
    @click.group(cls=Group)
    def main() -> None:
        pass

    sentence = "Do a thing that takes far more words to describe than one line of a terminal has room for"

    @main.command(help=f"{sentence}. And more.")
    def do() -> None:
        pass

    shown = CliRunner().invoke(main, ["--help"]).stdout
    assert sentence in " ".join(shown.split())
    assert "And more" not in shown


def test_the_commands_of_a_group_end_alike(command):
    @click.group(cls=Group)
    def main() -> None:
        pass

    @main.command()
    def fail() -> None:
        raise MachineError("no GPU")

    ended = command(main, "fail")
    assert (ended.exit_code, ended.stderr.splitlines()[0].endswith(": no GPU")) == (4, True)


COMMAND_THAT = """
import click, os, sys, time
from mde_runtime.command import Command, say
@click.command(cls=Command)
def main():
    {body}
main()
"""
WAIT = 'click.echo("started"); time.sleep(60)'
SWALLOW = """click.echo("started")
    class Freed:
        def __del__(self):
            time.sleep(60)
    Freed()"""


def started(body: str, **extra) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-u", "-c", COMMAND_THAT.format(body=body)],
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **extra},
    )


def ended_with(body: str, **extra) -> tuple[int, str]:
    running = started(body, **extra)
    said = running.communicate(timeout=30)[1]
    return running.returncode, said


@pytest.mark.parametrize(
    ("number", "exit_code", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
    ids=["ctrl-c", "sigterm"],
)
@pytest.mark.parametrize("body", [WAIT, SWALLOW], ids=["sleeping", "where Python drops exceptions"])
def test_a_signal_ends_a_running_command_in_one_line(body, number, exit_code, word):
    running = started(body)
    assert running.stdout.readline() == "started\n"
    time.sleep(0.05)
    running.send_signal(number)
    _, said = running.communicate(timeout=30)
    assert (running.returncode, said) == (exit_code, f"-c: {word}\n")


def test_sigterm_removes_what_is_half_done(tmp_path):
    target = tmp_path / "out.txt"
    running = started(
        f"""from pathlib import Path; from mde_runtime import files
    with files.replacing(Path({str(target)!r})) as draft:
        draft.write_text("half"); click.echo("started"); time.sleep(60)"""
    )
    assert running.stdout.readline() == "started\n"
    running.send_signal(signal.SIGTERM)
    running.communicate(timeout=30)
    assert list(tmp_path.iterdir()) == []


def test_sigterm_still_ends_a_command_that_ctrl_c_cannot_reach():
    running = started(WAIT, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))  # a background job's
    assert running.stdout.readline() == "started\n"
    running.send_signal(signal.SIGTERM)
    running.communicate(timeout=30)
    assert running.returncode == -signal.SIGTERM


@pytest.mark.parametrize("body", ['click.echo("line " * 9999)', 'print("line")'], ids=["at once", "at the end"])
def test_a_reader_that_goes_away_is_no_error(body):
    read, write = os.pipe()
    os.close(read)
    try:
        assert ended_with(body, stdout=write) == (0, "")
    finally:
        os.close(write)


@pytest.mark.parametrize("body", ['click.echo("line")', 'print("line")'], ids=["at once", "at the end"])
def test_a_result_that_finds_no_place_is_an_error(body):
    with Path("/dev/full").open("w") as full:
        assert ended_with(body, stdout=full) == (
            4,
            "-c: the disk is full; free some space and run the same command again\n",
        )


def test_talk_that_nobody_hears_is_no_error():
    read, write = os.pipe()
    os.close(read)
    try:
        with Path("/dev/full").open("w") as full:
            for deaf in (write, full):
                running = started('say("talk"); click.echo("result"); say("talk")', stderr=deaf)
                assert (running.communicate(timeout=30)[0], running.returncode) == ("result\n", 0)
                running = started('raise KeyError("a bug")', stderr=deaf)
                assert (running.communicate(timeout=30)[0], running.returncode) == ("", 70)
    finally:
        os.close(write)


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_a_closed_stream_is_never_taken_for_another_file(tmp_path, closed):
    target = tmp_path / "out.txt"
    body = f"""
    with open({str(target)!r}, "w") as file:
        os.write(1, b"result"); os.write(2, b"talk"); click.echo("result"); say("talk"); sys.stdin.read()
        file.write("content")"""
    code, _ = ended_with(body, stdin=subprocess.DEVNULL, preexec_fn=lambda: [os.close(number) for number in closed])
    assert (code, target.read_text()) == (0, "content")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_names_that_an_encoding_lacks_are_escaped(encoding):
    running = started(
        r'click.echo("\udce9\u6df1.png"); print("\udce9\u6df1.png"); say("\udce9\u6df1.png")',
        env={**os.environ, "PYTHONIOENCODING": encoding},
        text=False,
    )
    out, said = running.communicate(timeout=30)
    assert (running.returncode, out.count(b".png"), said.count(b".png")) == (0, 2, 1)


WITHOUT_ACCOUNT = """import pwd
    def unknown(uid):
        raise KeyError(f"getpwuid(): uid not found: {uid}")
    pwd.getpwuid = unknown
    for name in ("HOME", "USER", "LOGNAME", "LNAME", "USERNAME"):
        os.environ.pop(name, None)
    main.callback = lambda: click.echo(ask())
    main()
    """


@pytest.mark.parametrize(
    ("question", "exit_code"),
    [("__import__('getpass').getuser()", 0), ("__import__('pathlib').Path.home()", 4), ("pwd.getpwuid(5)", 4)],
    ids=["a name", "a home folder", "an entry"],
)
def test_a_user_without_a_name_works_or_is_told_what_to_set(question, exit_code):
    code, said = ended_with(f"ask = lambda: {question}\n    {WITHOUT_ACCOUNT}")
    assert code == exit_code
    assert said == "" or (said.count("\n"), "set USER and HOME, and MDE_CACHE" in said) == (1, True)


def test_a_stdout_that_is_open_for_reading_alone_is_told():
    with Path(os.devnull).open() as unwritable:
        assert ended_with('click.echo("line")', stdout=unwritable) == (
            3,
            "-c: stdout is open, but not for writing; send it to a file or a pipe\n",
        )
