"""What the commands share: one line for an error, one exit code for whose turn it is, `--debug` for the traceback."""

import errno
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

from mde_runtime import files
from mde_runtime.errors import INTERRUPTED, BadInputError, MachineError, MdeError, UsageError

PATH = click.Path(
    path_type=Path
)  # existence is checked where the file is read, so that the message says what belongs there


class _Output(click.Path):
    """A file to write. What can never be written is refused before any work is done."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # Any: click's own
        """The path. Raises BadInputError as `files.check_target`."""
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        files.check_target(path)
        return path


OUTPUT = _Output()


def say(text: str) -> None:
    """Talk to the person at the terminal: stderr, so that stdout holds results alone."""
    click.echo(text, file=sys.stderr)  # err=True would write past a progress bar, into its line


def _end(run: Callable[[], object], program: str, *, debug: bool) -> NoReturn:
    """Run a command and exit: how it ended becomes one line on stderr and an exit code."""
    try:
        code = run()
        sys.exit(code if isinstance(code, int) else 0)
    except click.ClickException as error:
        error.show()
        sys.exit(UsageError.exit_code)
    except (KeyboardInterrupt, click.Abort):
        say(f"{program}: interrupted")
        sys.exit(INTERRUPTED)
    except (MdeError, OSError) as error:
        if debug:
            traceback.print_exc()
        problem = error if isinstance(error, MdeError) else _in_our_words(error)
        say(f"{program}: {problem}")
        sys.exit(problem.exit_code)


def _in_our_words(error: OSError) -> MdeError:
    where = f"{error.filename}: " if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return MachineError(f"{where}the disk is full; free some space and run the same command again")
    return BadInputError(f"{where}{error.strerror or error}; look at the file and its folder")


def _debug_option() -> click.Option:
    return click.Option(["--debug"], is_flag=True, expose_value=False, help="Show the traceback of an error.")


class Command(click.Command):
    """A click command that ends in one line and an exit code of `mde_runtime.errors`."""

    def __init__(self, *args: Any, **extra: Any):  # Any: click's own signature
        super().__init__(*args, **extra)
        self.params.append(_debug_option())

    def invoke(self, ctx: click.Context) -> Any:  # Any: click's own signature
        """Run the command. A reader of our stdout that goes away (`| head`) is no error; click would exit with 1."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0

    def main(self, args: Sequence[str] | None = None, prog_name: str | None = None, *_: Any, **extra: Any) -> NoReturn:
        """Run the command and exit. Of click's further keywords only those that its test runner sets are kept."""
        arguments, program = _call(args, prog_name)
        extra["standalone_mode"] = False
        _end(lambda: click.Command.main(self, arguments, program, **extra), program, debug="--debug" in arguments)


class Group(click.Group):
    """A click group whose commands end as `Command` says."""

    command_class = Command

    def main(self, args: Sequence[str] | None = None, prog_name: str | None = None, *_: Any, **extra: Any) -> NoReturn:
        """Run the group and exit; see `Command.main`."""
        arguments, program = _call(args, prog_name)
        extra["standalone_mode"] = False
        _end(lambda: click.Group.main(self, arguments, program, **extra), program, debug="--debug" in arguments)


def _call(args: Sequence[str] | None, prog_name: str | None) -> tuple[list[str], str]:
    return list(sys.argv[1:] if args is None else args), prog_name or Path(sys.argv[0]).name
