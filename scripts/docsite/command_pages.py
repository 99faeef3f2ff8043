"""A page for each command, made from the command itself: help, options under their headings, subcommands."""

import html
import inspect
import re
from collections.abc import Iterator
from configparser import ConfigParser
from importlib import import_module
from pathlib import Path

import click

MARKDOWN = re.compile(r"([\\*_\[\]|#])")
OPTION = re.compile(r"(?<![\w`-])--?[a-z][\w-]*")


def commands(root: Path) -> dict[str, click.Command]:
    """The commands that the package installs, by name."""
    settings = ConfigParser()
    settings.read(root / "setup.cfg")
    points = re.findall(r"^(\S+) = (\S+):(\w+)$", settings["options.entry_points"]["console_scripts"], re.MULTILINE)
    return {name: getattr(import_module(module), attribute) for name, module, attribute in points}


def write_pages(root: Path, out: Path) -> None:
    """Write `commands/NAME.md` for each command."""
    (out / "commands").mkdir(parents=True, exist_ok=True)
    for name, command in commands(root).items():
        (out / "commands" / f"{name}.md").write_text(page(name, command))


def page(name: str, command: click.Command) -> str:
    """A command's page, in Markdown."""
    return "\n\n".join(_sections(_context(command, name), "#")) + "\n"


def _context(command: click.Command, name: str, parent: click.Context | None = None) -> click.Context:
    return click.Context(command, info_name=name, parent=parent, **command.context_settings)


def _sections(context: click.Context, heading: str) -> Iterator[str]:
    command = context.command
    yield f"{heading} {context.command_path}"
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    yield f"```text\n{usage}\n```"
    yield from _paragraphs(command.help or "")
    for title, options in _options(context).items():
        yield f"**{title}**"
        yield from options
    for name, inner in sorted(getattr(command, "commands", {}).items()):
        yield from _sections(_context(inner, name, context), "##")


def _paragraphs(text: str) -> Iterator[str]:
    """A command's help as Markdown. What click is told to leave as it stands (`\\b`) is a block of code."""
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        if paragraph.startswith("\b\n"):
            yield f"```text\n{inspect.cleandoc(paragraph[2:])}\n```"
        else:
            yield escaped(paragraph)


def _options(context: click.Context) -> dict[str, list[str]]:
    """The options as a definition list, by the heading that they have in the help; `--help` and the like are last."""
    heading_of = {name: heading for heading, names in getattr(context.command, "groups", {}).items() for name in names}
    listed: dict[str, list[str]] = {heading: [] for heading in (*heading_of.values(), "Options")}
    for option in context.command.get_params(context):
        row = option.get_help_record(context)
        if row is not None and isinstance(option, click.Option):
            names, meaning = row
            listed[heading_of.get(str(option.name), "Options")].append(f"`{names}`\n:   {escaped(meaning)}")
    return {heading: rows for heading, rows in listed.items() if rows}


def escaped(text: str) -> str:
    """Plain text as Markdown that shows just that; options, and what stands in backticks, as code."""
    marked = OPTION.sub(r"`\g<0>`", text)
    return "`".join(
        piece if place % 2 else MARKDOWN.sub(r"\\\1", html.escape(piece, quote=False))
        for place, piece in enumerate(marked.split("`"))
    )
