"""The common part of all commands: one-line errors, exit codes, `--debug` for the traceback."""

import contextlib
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

from mde_runtime import __version__, failures, files, numbers, process
from mde_runtime.contract import Intrinsics
from mde_runtime.errors import BUG, INTERRUPTED, TERMINATED, UsageError
from mde_runtime.nearest import did_you_mean

# Whether it exists is checked where the file is read, so that the message says what belongs there.
PATH = click.Path(path_type=Path)


HELP = ["-h", "--help"]
SPELLINGS = {"color": "colour", "gray": "grey"}


def _british(word: str) -> str:
    """An option or a choice as it is spelt here: `--color` and `--format color` are understood as well."""
    for other, ours in SPELLINGS.items():
        word = word.replace(other, ours)
    return word


class OneOf(click.Choice):  # type: ignore[type-arg]  # click before 8.2 takes none
    """One of several words. A mistyped one is answered by the nearest; a long list stands in the option's help."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # Any: click's own
        """The word. Ends the command as wrong usage where it is none of them."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            self.fail(f"{error.message.rstrip('.')}{did_you_mean(str(value), self.choices)}.", param, ctx)


class _Output(click.Path):
    """A file to write. What can never be written is refused before any work is done."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # Any: click's own
        """The path. Raises BadInputError as `files.check_target`."""
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        files.check_target(path)
        return path


OUTPUT = _Output()


class Whole(click.IntRange):
    """A whole number of a range; without an upper end, one that 32 bits hold."""

    name = "integer"  # in the help

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # Any: click's own
        """The number. Ends the command as wrong usage where it is none, or out of range."""
        try:
            number = numbers.whole(value) if isinstance(value, str) else value
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if self.max is None and number > numbers.MOST_WHOLE:
            self.fail(f"{number} is more than {numbers.MOST_WHOLE}", param, ctx)
        return super().convert(number, param, ctx)


class Real(click.FloatRange):
    """A finite number of a range."""

    name = "number"  # in the help

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # Any: click's own
        """The number. Ends the command as wrong usage where it is none, or out of range."""
        try:
            number = numbers.real(value) if isinstance(value, str) else value
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return super().convert(number, param, ctx)

    def _describe_range(self) -> str:  # click's own: without bounds it shows x<=None
        return "" if self.min is None and self.max is None else super()._describe_range()


FOCAL_PX = Real(1, 1e6)  # of a camera, at the size of a frame


class Several(click.ParamType):  # type: ignore[type-arg]  # click before 8.4 takes none
    """Numbers with a separator between them, as many as in the example: 480x640."""

    name = "numbers"

    def __init__(self, of: Whole | Real, separator: str, example: str):
        self.of, self.separator, self.example = of, separator, example

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # Any: click's own
        """The numbers, as a tuple. Ends the command as wrong usage where they are none, or out of range."""
        if not isinstance(value, str):
            return value
        parts = value.split(self.separator)
        if len(parts) != self.example.count(self.separator) + 1:
            self.fail(f"{numbers.shown(value)} is not of the form {self.example}", param, ctx)
        return tuple(self.of.convert(part, param, ctx) for part in parts)


class _Intrinsics(Several):
    """A pinhole camera, from fx, fy, cx, cy in px."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # Any: click's own
        """The camera. Ends the command as wrong usage for a focal length of 0 or less."""
        fx_px, fy_px, cx_px, cy_px = super().convert(value, param, ctx)
        if min(fx_px, fy_px) <= 0:
            self.fail(f"{value}: focal lengths are greater than 0; write fx,fy,cx,cy", param, ctx)
        return Intrinsics(fx_px=fx_px, fy_px=fy_px, cx_px=cx_px, cy_px=cy_px)


INTRINSICS = _Intrinsics(Real(-1e6, 1e6), ",", "519,519,320,240")


def say(text: str) -> None:
    """Talk to the person at the terminal: stderr, so that stdout holds results alone. Where it is gone nobody hears."""
    with contextlib.suppress(OSError):
        click.echo(text, file=sys.stderr)  # err=True would write past a progress bar, into its line


def _ended(run: Callable[[], object], program: str, *, debug: bool) -> int:
    """Run a command: how it ended becomes one line on stderr and an exit code."""

    def tell(error: BaseException) -> None:
        if debug:
            say("".join(traceback.format_exception(error)).rstrip())
        say(f"{program}: {failures.bug_report(error, has_traceback=debug)}")

    quiet = contextlib.nullcontext() if debug else process.without_tracebacks(tell)
    with quiet, process.terminating_by_ctrl_c() as was_terminated, process.remembering_ctrl_c() as was_interrupted:
        try:
            code = _result(run)
            if was_interrupted():
                raise KeyboardInterrupt
            return code if isinstance(code, int) else 0
        except click.ClickException as error:
            with contextlib.suppress(OSError):
                error.show()
            return UsageError.exit_code
        except (KeyboardInterrupt, click.Abort):
            say(f"{program}: {'terminated' if was_terminated() else 'interrupted'}")
            return TERMINATED if was_terminated() else INTERRUPTED
        except Exception as error:  # noqa: BLE001  this is where no exception gets past
            if was_interrupted():  # and a library made another exception of it
                say(f"{program}: interrupted")
                return INTERRUPTED
            if isinstance(error, BrokenPipeError) and process.is_reader_gone():
                return 0  # `| head` has read what it wanted
            problem = failures.problem_of(error)
            if problem is None:
                tell(error)
                return BUG
            if debug:
                say("".join(traceback.format_exception(error)).rstrip())
            say(f"{program}: {problem}")
            return problem.exit_code


def _result(run: Callable[[], object]) -> object:
    """What a command returns, once stdout has taken all of it."""
    try:
        result = run()
    except click.exceptions.Exit as end:  # --help, --version
        result = end.exit_code
    with contextlib.suppress(ValueError):  # closed by whoever runs the command in its own process
        sys.stdout.flush()
    return result


class _Ends:
    """How commands and groups end. A mixin of click's two classes."""

    def main(self, args: Sequence[str] | None = None, prog_name: str | None = None, *_: Any, **extra: Any) -> NoReturn:
        """Run and exit. Of click's further keywords only those that its test runner sets are kept, for the context."""
        arguments, program = list(sys.argv[1:] if args is None else args), prog_name or Path(sys.argv[0]).name
        process.prepare()

        def run() -> object:
            _complete(self, program)  # type: ignore[arg-type]  # a mixin of click.Command
            with self.make_context(program, arguments, **extra) as context:  # type: ignore[attr-defined]
                return self.invoke(context)  # type: ignore[attr-defined]

        code = _ended(run, program, debug="--debug" in arguments)
        process.finish_streams()
        sys.exit(code)


def _complete(command: click.Command, program: str) -> None:
    """Answer a shell that asks for completion, and exit: click does so in the `main` that ours replaces."""
    variable = f"_{program}_COMPLETE".replace("-", "_").replace(".", "_").upper()
    if instruction := os.environ.get(variable):
        from click.shell_completion import shell_complete

        sys.exit(shell_complete(command, {}, program, variable, instruction))


def _tell_version(context: click.Context, _option: click.Parameter, is_asked: bool) -> None:
    if is_asked and not context.resilient_parsing:
        click.echo(f"mde-toolchain {__version__}")
        context.exit()


def _version_option() -> click.Option:
    return click.Option(
        ["--version"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_tell_version,
        help="Show the version and exit.",
    )


class Command(_Ends, click.Command):
    """A click command that ends in one line and an exit code of `mde_runtime.errors`.

    groups: headings of the help, each with the names of the parameters below it; all others are `Options`.
    """

    def __init__(self, *args: Any, groups: Mapping[str, Sequence[str]] | None = None, **extra: Any):  # Any: click's own
        super().__init__(*args, **extra)
        self.groups = dict(groups or {})
        self.context_settings.setdefault("help_option_names", HELP)
        self.context_settings.setdefault("token_normalize_func", _british)
        debug = click.Option(["--debug"], is_flag=True, expose_value=False, help="Show the traceback of an error.")
        self.params += [debug, _version_option()]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options below their headings."""
        heading_of = {name: heading for heading, names in self.groups.items() for name in names}
        rows: dict[str, list[tuple[str, str]]] = {heading: [] for heading in (*self.groups, "Options")}
        for param in self.get_params(ctx):
            row = param.get_help_record(ctx)
            if row is not None and isinstance(param, click.Option):  # an argument's row came with click 8.5
                rows[heading_of.get(str(param.name), "Options")].append(row)
        for heading, listed in rows.items():
            if listed:
                with formatter.section(heading):
                    formatter.write_dl(listed)


class Group(_Ends, click.Group):
    """A click group whose commands end as `Command` says."""

    command_class = Command

    def __init__(self, *args: Any, **extra: Any):  # Any: click's own signature
        super().__init__(*args, **extra)
        self.context_settings.setdefault("help_option_names", HELP)
        self.context_settings.setdefault("token_normalize_func", _british)
        self.params.append(_version_option())

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the first sentence of every command's help, whole: click cuts it to one line."""
        listed = [(name, command) for name in self.list_commands(ctx) if (command := self.get_command(ctx, name))]
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.get_short_help_str(limit=1000)) for name, command in listed])
